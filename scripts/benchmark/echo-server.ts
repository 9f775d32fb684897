/** A process of its own that answers JSON with the same JSON, and nothing else: the most that Bun's server does on this machine. */
import * as Bun from "bun";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch: async (request) => Response.json(await request.json()),
});
process.stdout.write(`${server.port}\n`);
