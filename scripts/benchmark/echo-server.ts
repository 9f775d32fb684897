/** A process that answers JSON with the same JSON: the upper bound of Bun's server on this machine. */
import * as Bun from "bun";
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch: async (request) => Response.json(await request.json()),
});
process.stdout.write(`${server.port}\n`);
