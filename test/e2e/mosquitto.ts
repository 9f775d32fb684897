/**
 * A real Mosquitto on loopback, with the configuration and the ACL that `compose/` ships: only paths, address and passwords differ, so that
 * what is tested is what people run.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, randomHex, type Place } from "../../scripts/node-process.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { programPath } from "./program.ts";

export interface Mosquitto {
  readonly url: string;
  /** Settings of a node that logs in as primary, or as edge. */
  readonly primary: Readonly<Record<string, string>>;
  readonly edge: Readonly<Record<string, string>>;
  readonly output: string;
  start(): Promise<void>;
  /** Stops it from doing anything, with all connections kept: what a machine that hangs looks like. */
  freeze(): void;
  thaw(): void;
  kill(): Promise<void>;
}

export interface MosquittoOptions {
  /** Another one, whose passwords hold here as well. */
  readonly like?: Mosquitto;
  /** Lines of the shipped configuration, and what stands there instead. */
  readonly changes?: Readonly<Record<string, string>>;
  /** Where it is, and with which port, where that is not simply this machine. */
  readonly place?: Place & { readonly port: number };
}

const shipped = join(projectRoot, "compose", "mosquitto");

export async function prepareMosquitto(
  directory: string,
  { like, changes, place }: MosquittoOptions = {},
): Promise<Mosquitto> {
  mkdirSync(directory, { recursive: true });
  const port = place?.port ?? (await freePort());
  const passwords = {
    "ostiary-primary": like?.primary["OSTIARY_BROKER_PASSWORD"] ?? randomHex(16),
    "ostiary-edge": like?.edge["OSTIARY_BROKER_PASSWORD"] ?? randomHex(16),
  };
  const passwordFile = join(directory, "passwords");
  writeFileSync(
    passwordFile,
    `${Object.entries(passwords)
      .map((pair) => pair.join(":"))
      .join("\n")}\n`,
    { mode: 0o600 },
  );
  const hashed = Bun.spawnSync([programPath("mosquitto_passwd"), "-U", passwordFile]);
  if (!hashed.success) throw new Error(`mosquitto_passwd failed: ${hashed.stderr.toString()}`);

  const acl = join(directory, "acl");
  writeFileSync(acl, readFileSync(join(shipped, "acl")));
  chmodSync(acl, 0o600);
  const config = join(directory, "mosquitto.conf");
  const text = replaced(readFileSync(join(shipped, "mosquitto.conf"), "utf8"), {
    "listener 1883": `listener ${port} ${place?.listen ?? "127.0.0.1"}`,
    "password_file /run/mosquitto/passwords": `password_file ${passwordFile}`,
    "acl_file /run/mosquitto/acl": `acl_file ${acl}`,
    ...changes,
  });
  // Started by root it would become another user, who can't read the folder of this test.
  writeFileSync(config, process.getuid?.() === 0 ? `user root\n${text}` : text);
  const command = [...(place?.through ?? []), programPath("mosquitto"), "-c", config];
  return new MosquittoProcess(command, `mqtt://${place?.address ?? "127.0.0.1"}:${port}`, passwords);
}

class MosquittoProcess implements Mosquitto {
  readonly url: string;
  readonly primary: Readonly<Record<string, string>>;
  readonly edge: Readonly<Record<string, string>>;
  readonly #command: string[];
  #process: Bun.Subprocess<"ignore", "ignore", "pipe"> | undefined;
  #output = "";

  constructor(command: string[], url: string, passwords: Readonly<Record<"ostiary-primary" | "ostiary-edge", string>>) {
    this.#command = command;
    this.url = url;
    const as = (user: "ostiary-primary" | "ostiary-edge") => ({
      OSTIARY_BROKER: url,
      OSTIARY_BROKER_USERNAME: user,
      OSTIARY_BROKER_PASSWORD: passwords[user],
    });
    this.primary = as("ostiary-primary");
    this.edge = as("ostiary-edge");
  }

  get output(): string {
    return this.#output;
  }

  async start(): Promise<void> {
    const started = Bun.spawn(this.#command, {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    this.#process = started;
    void this.#keep(started.stderr);
    const deadline = Date.now() + 5000;
    while (!(await this.#listens())) {
      if (started.exitCode !== null || Date.now() > deadline)
        throw new Error(`mosquitto does not start:\n${this.#output}`);
      await Bun.sleep(20);
    }
  }

  freeze(): void {
    this.#process?.kill("SIGSTOP");
  }

  thaw(): void {
    this.#process?.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  async #listens(): Promise<boolean> {
    const { hostname, port } = new URL(this.url);
    try {
      const socket = await Bun.connect({ hostname, port: Number(port), socket: { data: () => {} } });
      socket.end();
      return true;
    } catch {
      return false;
    }
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#output += decoder.decode(chunk, { stream: true });
  }
}

/** Every line has to be there: a test of a configuration that silently isn't the shipped one would be worth nothing. */
function replaced(text: string, changes: Readonly<Record<string, string>>): string {
  return Object.entries(changes).reduce((result, [before, after]) => {
    if (!result.includes(before)) throw new Error(`compose/mosquitto/mosquitto.conf has no line \`${before}\``);
    return result.replace(before, after);
  }, text);
}
