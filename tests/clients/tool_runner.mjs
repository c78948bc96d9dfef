// The tool runner of Anthropic's SDK for Node against a server: node tool_runner.mjs URL. Prints what was called and said.
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";

const client = new Anthropic({ baseURL: process.argv[2], apiKey: "local", maxRetries: 0, timeout: 120000 });
const called = [];
const numbers = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
  additionalProperties: false,
};
const tool = (name, run) =>
  betaTool({
    name,
    description: `${name} two numbers`,
    inputSchema: numbers,
    run: async ({ a, b }) => {
      called.push([name, a, b]);
      return String(run(a, b));
    },
  });

const runner = client.beta.messages.toolRunner({
  model: "any",
  max_tokens: 200,
  messages: [{ role: "user", content: "use add and mul" }],
  tools: [tool("add", (a, b) => a + b), tool("mul", (a, b) => a * b)],
});
const last = await runner;
console.log(JSON.stringify({ called, said: last.content.map((b) => b.text).join(""), stop: last.stop_reason }));
