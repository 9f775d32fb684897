/** Mosquitto for the time of a measurement, if it is installed. */
import * as Bun from "bun";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../../node-process.ts";
import type { Broker } from "./measure.ts";

const paths = [
  "/usr/sbin/mosquitto",
  "/usr/bin/mosquitto",
  "/usr/local/sbin/mosquitto",
  "/opt/homebrew/sbin/mosquitto",
];

/** Returns `undefined` if Mosquitto is not installed. It accepts all clients, because the cost of access lists is not measured. */
export async function withMosquitto<T>(
  directory: string,
  body: (broker: Broker | undefined) => Promise<T>,
): Promise<T> {
  const program = paths.find((path) => existsSync(path));
  if (program === undefined) return body(undefined);
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const config = join(directory, "mosquitto.conf");
  const lines = [
    `listener ${port} 127.0.0.1`,
    "allow_anonymous true",
    "set_tcp_nodelay true",
    "max_inflight_messages 0",
    "log_type none",
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const broker = Bun.spawn([program, "-c", config], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  try {
    await Bun.sleep(500);
    const login = (name: string) => ({ brokerUsername: name, brokerPassword: "benchmark" });
    return await body({
      name: "mosquitto",
      url: `mqtt://127.0.0.1:${port}`,
      primary: login("primary"),
      edge: login("edge"),
    });
  } finally {
    broker.kill("SIGKILL");
    await broker.exited;
  }
}
