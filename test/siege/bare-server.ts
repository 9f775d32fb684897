/**
 * A server that only answers, on the same machine at the same time as the nodes: its response time is that of the
 * machine.
 */
import * as Bun from "bun";
import { endWithStandardInput, tell } from "../harness/child-process.ts";

endWithStandardInput();
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch: async (request) => {
    await request.arrayBuffer();
    return Response.json({ allowed: true });
  },
});
tell({ url: `http://127.0.0.1:${server.port}` });
