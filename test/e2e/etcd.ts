/** A real etcd on loopback: one member, or a cluster of three whose members can be killed, frozen and started again. */
import * as Bun from "bun";
import { join } from "node:path";
import { freePort } from "../../scripts/node-process.ts";
import { programPath } from "./program.ts";
import { ServerProgram } from "./server-program.ts";

export interface EtcdOptions {
  readonly members?: number;
  /** Further flags of each member. */
  readonly flags?: readonly string[];
  /** Requires TLS of clients. */
  readonly isTls?: boolean;
}

export class Etcd {
  readonly members: readonly EtcdMember[];

  private constructor(members: readonly EtcdMember[]) {
    this.members = members;
  }

  static async start(
    directory: string,
    { members: count = 1, flags = [], isTls = false }: EtcdOptions = {},
  ): Promise<Etcd> {
    const ports: { client: number; peer: number }[] = [];
    for (let member = 0; member < count; member++) ports.push({ client: await freePort(), peer: await freePort() });
    const cluster = ports.map(({ peer }, member) => `m${member}=http://127.0.0.1:${peer}`).join(",");
    const members = ports.map(({ client, peer }, member) => {
      const clientUrl = `${isTls ? "https" : "http"}://127.0.0.1:${client}`;
      const peerUrl = `http://127.0.0.1:${peer}`;
      const parameters = {
        name: `m${member}`,
        "data-dir": join(directory, `m${member}`),
        "listen-client-urls": clientUrl,
        "advertise-client-urls": clientUrl,
        "listen-peer-urls": peerUrl,
        "initial-advertise-peer-urls": peerUrl,
        "initial-cluster": cluster,
        "log-level": "error",
      };
      const own = Object.entries(parameters).map(([flag, value]) => `--${flag}=${value}`);
      // No test needs durable data, and other tests write to the same disk.
      return new EtcdMember([programPath("etcd"), ...own, "--unsafe-no-fsync", ...flags], client, clientUrl);
    });
    const etcd = new Etcd(members);
    await Promise.all(members.map((member) => member.start()));
    if (!isTls) await etcd.#hasLeader();
    return etcd;
  }

  /** The URL for the setting `failover`. */
  url(prefix: string): string {
    const [first] = this.members;
    const hosts = this.members.map(({ host }) => host).join(",");
    return `${first?.url.startsWith("https") === true ? "etcds" : "etcd"}://${hosts}/${prefix}`;
  }

  async stop(): Promise<void> {
    await Promise.all(this.members.map((member) => member.kill()));
  }

  /** Turns on authentication, with the user root and one that can only read and write below a prefix. */
  async enableAuth(password: string, user: string, prefix: string): Promise<void> {
    const key = Buffer.from(`${prefix}/`).toString("base64");
    const end = Buffer.from(`${prefix}0`).toString("base64"); // what follows on `/`
    await this.ask("auth/user/add", { name: "root", password });
    await this.ask("auth/user/grant", { user: "root", role: "root" });
    await this.ask("auth/role/add", { name: "ostiary" });
    await this.ask("auth/role/grant", { name: "ostiary", perm: { permType: "READWRITE", key, range_end: end } });
    await this.ask("auth/user/add", { name: user, password });
    await this.ask("auth/user/grant", { user, role: "ostiary" });
    await this.ask("auth/enable", {});
  }

  async ask(path: string, body: object): Promise<unknown> {
    const response = await fetch(`${this.members[0]?.url}/v3/${path}`, { method: "POST", body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`etcd refuses ${path}: ${await response.text()}`);
    return await response.json();
  }

  async #hasLeader(): Promise<void> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      try {
        return void (await this.ask("kv/range", { key: "YQ==" }));
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await Bun.sleep(50);
      }
    }
  }
}

class EtcdMember extends ServerProgram {
  readonly url: string;
  readonly host: string;

  constructor(command: string[], port: number, url: string) {
    super(command, { host: "127.0.0.1", port });
    this.url = url;
    this.host = new URL(url).host;
  }
}
