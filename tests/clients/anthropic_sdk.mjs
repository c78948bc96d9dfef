// The official SDK for Node against a server: node anthropic_sdk.mjs URL. Prints one JSON object of what it saw.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "local", maxRetries: 0, timeout: 120000 });
const ask = { model: "any", max_tokens: 24, messages: [{ role: "user", content: "Name three colors." }] };
const out = {};

const whole = await client.messages.create(ask);
out.message = whole;
out.count = (await client.messages.countTokens({ model: "any", messages: ask.messages })).input_tokens;

const events = [];
const stream = client.messages.stream(ask);
stream.on("streamEvent", (e) => events.push(e.type));
let text = "";
stream.on("text", (t) => (text += t));
const final = await stream.finalMessage();
out.stream = { events, text, final };

out.models = [];
for await (const m of client.models.list({ limit: 1 })) out.models.push(m.id);
out.model = await client.models.retrieve(out.models[0]);

const caught = async (f) => {
  try {
    await f();
    return null;
  } catch (e) {
    return { name: e.constructor.name, status: e.status, type: e.error?.error?.type, message: e.error?.error?.message, id: e.requestID };
  }
};
out.errors = {
  bad: await caught(() => client.messages.create({ ...ask, max_tokens: 0 })),
  missing: await caught(() => client.models.retrieve("no/such")),
};

// A stream that is left in the middle.
const left = client.messages.stream({ ...ask, max_tokens: 4000, messages: [{ role: "user", content: "Write a long story." }] });
left.on("text", () => left.abort());
out.aborted = await caught(() => left.finalMessage());

const batch = await client.messages.batches.create({ requests: [{ custom_id: "a", params: ask }, { custom_id: "b", params: { ...ask, max_tokens: 0 } }] });
let state = batch;
for (let i = 0; i < 300 && state.processing_status !== "ended"; i++) {
  await new Promise((done) => setTimeout(done, 100));
  state = await client.messages.batches.retrieve(batch.id);
}
out.batch = { state, results: {} };
for await (const r of await client.messages.batches.results(batch.id)) out.batch.results[r.custom_id] = r.result.type;
console.log(JSON.stringify(out));
