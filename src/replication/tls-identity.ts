/**
 * The certificate of this node, and the authorities that it trusts, from the PEM files of the settings. The files are
 * read again every few seconds, so that a renewed certificate needs no restart. A changed file that cannot be used is
 * reported, and the earlier content stays in use.
 */
import { readFileSync, statSync } from "node:fs";
import type { Config } from "../config/config.ts";
import { isOpenToOthers } from "../config/secret-files.ts";
import type { ServerTls } from "../runtime/platform.ts";
import type { TlsTexts } from "../runtime/fetch.ts";
import { getLogger } from "../telemetry/logger.ts";
import { metrics } from "../telemetry/metrics.ts";
import { must } from "../util/assert.ts";
import type { Clock } from "../util/clock.ts";
import { rateLimiter } from "../util/rate-limiter.ts";
import { reasonOf } from "../util/reason.ts";
import { iso, requireValid, type Validity, validityOf } from "./certificate-validity.ts";
import { certificatesIn, privateKeyOf } from "./tls-files.ts";

const log = getLogger("tls");

/** Two reads in a row must agree before a change counts, because another program may be writing the files. */
const readIntervalMs = 2000;
const day = 24 * 60 * 60 * 1000;
/** How long before its end a certificate should have been renewed; a third of its time if that is less. */
const renewalMs = 14 * day;

type TlsPaths = Readonly<Partial<Record<"tlsCert" | "tlsKey" | "tlsCa" | "nodeClientCa", string | undefined>>>;

/** What the files contain. */
interface Material {
  readonly own: { readonly cert: string; readonly key: string } | undefined;
  readonly ca: string | undefined;
  readonly clientCa: string | undefined;
  /** When the certificates of each setting can be used. */
  readonly validities: ReadonlyMap<string, Validity>;
}

export class TlsIdentity {
  readonly #paths: TlsPaths;
  readonly #clock: Pick<Clock, "wallMs" | "every">;
  readonly #listeners = new Set<() => void>();
  readonly #warnings: ReturnType<typeof rateLimiter>;
  #material: Material;
  #used: string;
  #last: string;
  #problem: string | undefined;

  /** Undefined if no setting names a file. AppError `conflict` names a file that cannot be used. */
  static open(config: Config, clock: Clock): TlsIdentity | undefined {
    const { tlsCert, tlsKey, tlsCa, nodeClientCa } = config;
    if (tlsCert === undefined && tlsCa === undefined) return undefined;
    return new TlsIdentity({ tlsCert, tlsKey, tlsCa, nodeClientCa }, clock);
  }

  constructor(paths: TlsPaths, clock: Pick<Clock, "wallMs" | "every" | "monotonicMs">) {
    this.#paths = paths;
    this.#clock = clock;
    this.#warnings = rateLimiter(day, clock);
    this.#used = this.#last = this.#read();
    this.#material = load(paths, clock.wallMs());
    this.#show();
    this.#warnOfOpenKey();
  }

  /** What the node's port presents; undefined without a certificate. */
  get server(): ServerTls | undefined {
    return this.#material.own;
  }

  /** What the port for other nodes presents, and whom it accepts. Undefined without an authority for its clients. */
  get nodeServer(): ServerTls | undefined {
    const { own, clientCa } = this.#material;
    return own === undefined || clientCa === undefined ? undefined : { ...own, clientCa };
  }

  /** What the node presents to other nodes, and trusts of them. */
  get client(): TlsTexts {
    return { ca: this.#material.ca, ...this.#material.own };
  }

  /** For messages: whom the node trusts. */
  get trusted(): string {
    return this.#paths.tlsCa === undefined ? systemAuthorities : `the file \`${this.#paths.tlsCa}\` of \`tlsCa\``;
  }

  /** For messages: where the certificate is that the node presents. */
  get presented(): string {
    const { tlsCert } = this.#paths;
    return tlsCert === undefined ? "in `tlsCert`" : `in the file \`${tlsCert}\` of \`tlsCert\``;
  }

  /** Calls the listener after each change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begins to read the files regularly. The result ends that. */
  watch(): () => void {
    return this.#clock.every(readIntervalMs, () => this.check());
  }

  /** Reads the files once. */
  check(): void {
    this.#warnBeforeEnd();
    const read = this.#read();
    const isSettled = read === this.#last;
    this.#last = read;
    if (!isSettled) return;
    if (read === this.#used) return this.#setProblem(undefined);
    try {
      this.#material = load(this.#paths, this.#clock.wallMs());
      this.#warnOfOpenKey();
    } catch (error) {
      return this.#setProblem(reasonOf(error));
    }
    this.#used = read;
    this.#setProblem(undefined);
    this.#show();
    log.info("the changed files of {settings} are in use{expiry}", {
      settings: Object.entries(this.#paths)
        .flatMap(([setting, path]) => (path === undefined ? [] : [setting]))
        .join(", "),
      expiry: this.#expiryText(),
    });
    for (const listener of this.#listeners) listener();
  }

  #setProblem(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    metrics.tlsFilesRefused.set(problem === undefined ? 0 : 1);
    if (problem === undefined) return;
    log.error("changed TLS files are not used, and the earlier ones stay in use{expiry}: {problem}", {
      expiry: this.#expiryText(),
      problem,
    });
  }

  #expiryText(): string {
    const validity = this.#material.validities.get("tlsCert");
    return validity === undefined ? "" : `, until ${iso(validity.to)}`;
  }

  #warnBeforeEnd(): void {
    const nowMs = this.#clock.wallMs();
    for (const [setting, { from, to }] of this.#material.validities) {
      if (to - nowMs > Math.min(renewalMs, (to - from) / 3) || this.#warnings(setting) === 0) continue;
      const level = to > nowMs ? "warning" : "error";
      log[level]("a certificate in the file {path} of {setting} {ends} {expiry}: renew it and replace the file", {
        path: this.#paths[setting as keyof TlsPaths],
        setting,
        ends: to > nowMs ? "expires on" : "has expired on",
        expiry: iso(to),
      });
    }
  }

  #warnOfOpenKey(): void {
    const { tlsKey: path } = this.#paths;
    const stats = path === undefined ? undefined : statSync(path, { throwIfNoEntry: false });
    if (stats !== undefined && isOpenToOthers(stats))
      log.warning("other users of this machine can read or change the file {path} of tlsKey: use `chmod go=`", {
        path,
      });
  }

  #show(): void {
    for (const [setting, { from, to }] of this.#material.validities) {
      metrics.tlsExpiry.set({ setting }, to / 1000);
      metrics.tlsLifetime.set({ setting }, (to - from) / 1000);
    }
  }

  /** The content of all files, or why they cannot be read. Equal for equal files. */
  #read(): string {
    const texts = Object.values(this.#paths).map((path) => {
      try {
        return path === undefined ? "" : readFileSync(path, "utf8");
      } catch (error) {
        return String((error as NodeJS.ErrnoException).code);
      }
    });
    return texts.join("\0");
  }
}

/** For messages: whom a node or a command trusts by default. */
export const systemAuthorities = "the authorities of the system";

function load({ tlsCert, tlsKey, tlsCa, nodeClientCa }: TlsPaths, nowMs: number): Material {
  const validities = new Map<string, Validity>();
  let own: Material["own"];
  if (tlsCert !== undefined && tlsKey !== undefined) {
    const { text: cert, parsed } = certificatesIn("tlsCert", tlsCert);
    const owner = { setting: "tlsCert", path: tlsCert, text: cert, parsed: parsed[0] };
    own = { cert, key: privateKeyOf("tlsKey", tlsKey, owner) };
    const all = parsed.map(validityOf);
    requireValid("tlsCert", tlsCert, must(all[0]), nowMs);
    // Clients may find a way without another certificate of the chain that has expired, so that is only reported.
    const validity = { from: Math.max(...all.map(({ from }) => from)), to: Math.min(...all.map(({ to }) => to)) };
    validities.set("tlsCert", validity);
  }
  const authority = (setting: string, path: string | undefined): string | undefined => {
    if (path === undefined) return undefined;
    const { text, parsed } = certificatesIn(setting, path);
    // While authorities change, the file has the old one beside the new one.
    const validity = parsed.map(validityOf).reduce((last, each) => (each.to > last.to ? each : last));
    requireValid(setting, path, validity, nowMs);
    validities.set(setting, validity);
    return text;
  };
  return { own, ca: authority("tlsCa", tlsCa), clientCa: authority("nodeClientCa", nodeClientCa), validities };
}
