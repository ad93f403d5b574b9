// A session with `submit mcp` by the public TypeScript SDK of the Model Context
// Protocol: list, call, progress, structured content, a failing call, cancel, a
// change of the list, a resource, and the same over HTTP. Run by
// scripts/mcp-clients.sh.
//
//   node mcp-client.mjs SUBMIT CONTEXT WORKDIR HTTP_URL TOKEN
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ToolListChangedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [submit, context, dir, url, token] = process.argv.slice(2);
const words = (r) => r.content.filter((c) => c.type === "text").map((c) => c.text).join("\n");

async function session(transport, over) {
  const client = new Client({ name: "mcp-client.mjs", version: "1" });
  let changes = 0;
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => { changes++; });
  await client.connect(transport);

  const { tools } = await client.listTools();
  const names = tools.map((t) => t.name);
  assert.ok(names.includes("grep") && names.includes("boxfleet_search"), `tools ${names}`);
  assert.equal(tools.find((t) => t.name === "grep").annotations.readOnlyHint, true);

  const wrote = await client.callTool({ name: "file-write", arguments: { file_path: `${over}.txt`, content: "one line\n" } });
  assert.equal(wrote.isError ?? false, false, words(wrote));
  assert.equal(wrote.structuredContent.is_error, false);
  const link = wrote.content.find((c) => c.type === "resource_link");
  const read = await client.readResource({ uri: link.uri });
  assert.equal(read.contents[0].text, "one line\n");

  const found = await client.callTool({ name: "grep", arguments: { pattern: "^one", path: [`${over}.txt`] } });
  assert.equal(words(found), "one line\n");
  const wrong = await client.callTool({ name: "grep", arguments: { patern: "x" } });
  assert.equal(wrong.isError, true);
  assert.match(words(wrong), /did you mean "pattern"/);
  const search = await client.callTool({ name: "boxfleet_search", arguments: { query: "regex" } });
  assert.equal(search.structuredContent.tools[0].name, "grep");

  // Progress, and a cancel that ends the job.
  const stop = new AbortController();
  const heard = [];
  const spinning = client.callTool({ name: "spin", arguments: {} }, undefined, {
    signal: stop.signal,
    onprogress: (p) => { heard.push(p.message); if (/^running/.test(p.message)) stop.abort("enough"); },
  });
  await assert.rejects(spinning);
  const job = /job (mcp-\S+)/.exec(heard[0])[1];
  const until = Date.now() + 20_000;
  let state = "";
  while (!/canceled/.test(state)) {
    assert.ok(Date.now() < until, `job ${job} is ${state}`);
    await new Promise((r) => setTimeout(r, 50)); // the cancel goes out meanwhile
    state = execFileSync(submit, ["--context", context, "status", job, "--json"]).toString();
  }

  execFileSync(submit, ["--context", context, "-q", "tool", "push", "toolbox/dist/noop.wasm", "--name", `late-${over}`, "--version", "1.0.0"], { stdio: "ignore" });
  while (changes === 0) {
    assert.ok(Date.now() < until + 20_000, "no change of the list was heard");
    await new Promise((r) => setTimeout(r, 20));
  }
  assert.ok((await client.listTools()).tools.some((t) => t.name === `late-${over}`));
  await client.close();
  console.log(`${over}: ${names.length} tools; call, resource, errors, progress (${heard.length} messages), cancel and list change are right`);
}

await session(new StdioClientTransport({ command: submit, args: ["mcp", "--context", context, "--work-dir", `${dir}:rw`] }), "stdio");
await session(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }), "http");
await assert.rejects(new Client({ name: "x", version: "1" }).connect(new StreamableHTTPClientTransport(new URL(url))), /token|401|Unauthorized/i);
console.log("http: refused without the token");
