/**
 * A real Mosquitto on loopback with the configuration and the ACL of `compose/`: only paths, address and passwords
 * differ, so that the tests cover the shipped files.
 */
import * as Bun from "bun";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, randomHex, type Place } from "../../scripts/node-process.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import type { Certificate } from "./certificates.ts";
import { programPath } from "./program.ts";
import { ServerProgram } from "./server-program.ts";

const users = ["ostiary-primary", "ostiary-edge", "ostiary-witness"] as const;
type User = (typeof users)[number];
type Settings = Readonly<Record<string, string>>;

export interface Mosquitto {
  readonly url: string;
  /** Settings of a node that logs in as primary, or as edge. */
  readonly primary: Settings;
  readonly edge: Settings;
  /** The password of each user; the user witness can read statuses. */
  readonly passwords: Readonly<Record<User, string>>;
  readonly output: string;
  /** Starts it without waiting. */
  launch(): void;
  start(): Promise<void>;
  /** Freezes it with all connections open, like a hanging machine. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
}

export interface MosquittoOptions {
  /** Another broker with the same passwords. */
  readonly like?: Mosquitto;
  /** Lines of the shipped configuration, and their replacements. */
  readonly changes?: Readonly<Record<string, string>>;
  /** Instead of the shipped one. */
  readonly acl?: string;
  /** Turns on TLS. */
  readonly server?: Certificate;
  /** The host and port, if it is not on this machine. */
  readonly place?: Place & { readonly port: number };
}

const shipped = join(projectRoot, "compose", "mosquitto");
const readShipped = (name: string): string => readFileSync(join(shipped, name), "utf8");

/** With passwords, from `mosquitto.conf` and `acl`. */
export async function prepareMosquitto(directory: string, options: MosquittoOptions = {}): Promise<Mosquitto> {
  const { like, changes, acl, server, place } = options;
  mkdirSync(directory, { recursive: true });
  const port = place?.port ?? (await freePort());
  const passwords =
    like?.passwords ?? (Object.fromEntries(users.map((user) => [user, randomHex(16)])) as Record<User, string>);
  const passwordFile = join(directory, "passwords");
  writeFileSync(passwordFile, users.map((user) => `${user}:${passwords[user]}\n`).join(""), { mode: 0o600 });
  const hashed = Bun.spawnSync([programPath("mosquitto_passwd"), "-U", passwordFile]);
  if (!hashed.success) throw new Error(`mosquitto_passwd failed: ${hashed.stderr.toString()}`);

  const tls = server === undefined ? [] : [`certfile ${server.cert}`, `keyfile ${server.key}`];
  const text = replaced(readShipped("mosquitto.conf"), {
    "listener 1883": [`listener ${port} ${place?.listen ?? "127.0.0.1"}`, ...tls].join("\n"),
    "password_file /run/mosquitto/passwords": `password_file ${passwordFile}`,
    "acl_file /run/mosquitto/acl": `acl_file ${writeAcl(directory, acl ?? `${readShipped("acl")}\n${witness}`)}`,
    ...changes,
  });
  const url = server === undefined ? `mqtt://${place?.address ?? "127.0.0.1"}:${port}` : `mqtts://localhost:${port}`;
  return new MosquittoProcess(commandWith(writeConfig(directory, text), place), url, passwords);
}

/** With client certificates, from `tls.conf` and `tls-acl`, for one environment. */
export async function prepareMosquittoTls(
  directory: string,
  environment: string,
  { authority, server }: { readonly authority: string; readonly server: Certificate },
): Promise<Mosquitto & { readonly webSocketUrl: string }> {
  mkdirSync(directory, { recursive: true });
  const [port, webSocketPort] = [await freePort(), await freePort()];
  const acl = readShipped("tls-acl").replaceAll("/default/", `/${environment}/`);
  const text = replaced(readShipped("tls.conf"), {
    "listener 8883": `listener ${port} 127.0.0.1`,
    "certfile /run/mosquitto/server.crt": `certfile ${server.cert}`,
    "keyfile /run/mosquitto/server.key": `keyfile ${server.key}`,
    "cafile /run/mosquitto/ca.crt": `cafile ${authority}`,
    "acl_file /run/mosquitto/acl": `acl_file ${writeAcl(directory, acl)}`,
  });
  // The same over WebSocket.
  const options = text.split("\n").filter((line) => /^(?:certfile|keyfile|cafile|require_|use_)/.test(line));
  const both = [text, `listener ${webSocketPort} 127.0.0.1`, "protocol websockets", ...options, ""].join("\n");
  const command = commandWith(writeConfig(directory, both));
  const mosquitto = new MosquittoProcess(command, `mqtts://localhost:${port}`, noPasswords);
  return Object.assign(mosquitto, { webSocketUrl: `wss://localhost:${webSocketPort}/mqtt` });
}

function commandWith(config: string, place?: Place): string[] {
  return [...(place?.through ?? []), programPath("mosquitto"), "-c", config];
}

const noPasswords = { "ostiary-primary": "", "ostiary-edge": "", "ostiary-witness": "" };

const witness = "user ostiary-witness\ntopic read ostiary/v1/+/node/+\n";

function writeAcl(directory: string, text: string): string {
  const path = join(directory, "acl");
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** As root it would become another user, which cannot read the folder of this test. */
function writeConfig(directory: string, text: string): string {
  const path = join(directory, "mosquitto.conf");
  writeFileSync(path, process.getuid?.() === 0 ? `user root\n${text}` : text);
  return path;
}

class MosquittoProcess extends ServerProgram implements Mosquitto {
  readonly url: string;
  readonly primary: Settings;
  readonly edge: Settings;
  readonly passwords: Readonly<Record<User, string>>;

  constructor(command: string[], url: string, passwords: Readonly<Record<User, string>>) {
    const { hostname, port } = new URL(url);
    super(command, { host: hostname === "localhost" ? "127.0.0.1" : hostname, port: Number(port) });
    this.url = url;
    this.passwords = passwords;
    const as = (user: User): Settings => ({
      OSTIARY_BROKER: url,
      OSTIARY_BROKER_USERNAME: user,
      OSTIARY_BROKER_PASSWORD: passwords[user],
    });
    this.primary = as("ostiary-primary");
    this.edge = as("ostiary-edge");
  }
}

/** Each line has to exist, so that the test cannot run with another configuration than the shipped one. */
function replaced(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((result, [before, after]) => {
    if (!result.includes(before)) throw new Error(`the shipped configuration has no line \`${before}\``);
    return result.replace(before, after);
  }, text);
}
