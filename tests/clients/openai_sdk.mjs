// OpenAI's SDK for Node against a server: node openai_sdk.mjs URL. Prints one JSON object of what it saw.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2] + "/v1", apiKey: "local", maxRetries: 0, timeout: 120000 });
const ask = { model: "any", max_completion_tokens: 24, temperature: 0, messages: [{ role: "user", content: "Name three colors." }] };
const out = {};
out.completion = await client.chat.completions.create({ ...ask, logprobs: true, top_logprobs: 2 });
out.chunks = [];
for await (const c of await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })) out.chunks.push(c);
out.models = (await client.models.list()).data.map((m) => m.id);
try {
  await client.embeddings.create({ model: "any", input: "x" });
} catch (e) {
  out.error = { name: e.constructor.name, status: e.status, code: e.code, param: e.param, type: e.type, message: e.message };
}
console.log(JSON.stringify(out));
