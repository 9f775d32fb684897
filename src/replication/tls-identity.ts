/**
 * The certificate of this node, and the authorities that it trusts, from the PEM files of the settings. The files are
 * read again every few seconds, so that a renewed certificate needs no restart. A changed file that cannot be used is
 * reported, and the earlier content stays in use.
 */
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
import {
  certificatesIn,
  identityOf,
  type PemFiles,
  type PemPaths,
  privateKeyOf,
  readPemFiles,
  readPemFilesAgain,
} from "./tls-files.ts";

const log = getLogger("tls");

/** Two reads in a row must agree before a change counts, because another program may be writing the files. */
const readIntervalMs = 2000;
const day = 24 * 60 * 60 * 1000;
/** How long before its end a certificate should have been renewed; a third of its time if that is less. */
const renewalMs = 14 * day;

/** What the files contain. */
interface Material {
  readonly own: { readonly cert: string; readonly key: string } | undefined;
  readonly ca: string | undefined;
  readonly clientCa: string | undefined;
  /** When the certificates of each setting can be used. */
  readonly validities: ReadonlyMap<string, Validity>;
}

export class TlsIdentity {
  readonly #paths: PemPaths;
  readonly #clock: Pick<Clock, "wallMs" | "every">;
  readonly #listeners = new Set<() => void>();
  readonly #warnings: ReturnType<typeof rateLimiter>;
  #material: Material;
  #used: string;
  #last: string;
  #problem: string | undefined;
  #checking: Promise<void> | undefined;

  /** Undefined if no setting names a file. AppError `conflict` names a file that cannot be used. */
  static open(config: Config, clock: Clock): TlsIdentity | undefined {
    const { tlsCert, tlsKey, tlsCa, nodeClientCa } = config;
    if (tlsCert === undefined && tlsCa === undefined) return undefined;
    return new TlsIdentity({ tlsCert, tlsKey, tlsCa, nodeClientCa }, clock);
  }

  constructor(paths: PemPaths, clock: Pick<Clock, "wallMs" | "every" | "monotonicMs">) {
    this.#paths = paths;
    this.#clock = clock;
    this.#warnings = rateLimiter(day, clock);
    const files = readPemFiles(paths);
    this.#used = this.#last = identityOf(files);
    this.#material = load(files, clock.wallMs());
    this.#show();
    this.#warnOfOpenKey(files);
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
    const tlsCa = this.#paths["tlsCa"];
    return tlsCa === undefined ? systemAuthorities : `the file \`${tlsCa}\` of \`tlsCa\``;
  }

  /** For messages: where the certificate is that the node presents. */
  get presented(): string {
    const tlsCert = this.#paths["tlsCert"];
    return tlsCert === undefined ? "in `tlsCert`" : `in the file \`${tlsCert}\` of \`tlsCert\``;
  }

  /** Calls the listener after each change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Begins to read the files regularly. The result ends that. */
  watch(): () => void {
    return this.#clock.every(readIntervalMs, () => void this.check());
  }

  /** Reads the files once. A read that the file system does not end is the only one, and is reported. */
  check(): Promise<void> {
    this.#warnBeforeEnd();
    if (this.#checking !== undefined)
      this.#setProblem(`reading the files takes longer than ${readIntervalMs / 1000} s`);
    return (this.#checking ??= this.#readAgain().finally(() => (this.#checking = undefined)));
  }

  async #readAgain(): Promise<void> {
    const files = await readPemFilesAgain(this.#paths);
    const read = identityOf(files);
    const isSettled = read === this.#last;
    this.#last = read;
    if (!isSettled) return;
    if (read === this.#used) return this.#setProblem(undefined);
    try {
      this.#material = load(files, this.#clock.wallMs());
      this.#warnOfOpenKey(files);
    } catch (error) {
      return this.#setProblem(reasonOf(error));
    }
    this.#used = read;
    this.#setProblem(undefined);
    this.#show();
    log.info("the changed files of {settings} are in use{expiry}", {
      settings: [...files.keys()].join(", "),
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
        path: this.#paths[setting],
        setting,
        ends: to > nowMs ? "expires on" : "has expired on",
        expiry: iso(to),
      });
    }
  }

  #warnOfOpenKey(files: PemFiles): void {
    const { path, content } = files.get("tlsKey") ?? {};
    if (content !== undefined && "stats" in content && isOpenToOthers(content.stats))
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
}

/** For messages: whom a node or a command trusts by default. */
export const systemAuthorities = "the authorities of the system";

function load(files: PemFiles, nowMs: number): Material {
  const validities = new Map<string, Validity>();
  let own: Material["own"];
  const cert = certificatesIn(files, "tlsCert");
  if (cert !== undefined && files.has("tlsKey")) {
    own = { cert: cert.text, key: privateKeyOf(files, "tlsKey", { ...cert, parsed: cert.parsed[0] }) };
    const all = cert.parsed.map(validityOf);
    requireValid("tlsCert", cert.path, must(all[0]), nowMs);
    // Clients may find a way without another certificate of the chain that has expired, so that is only reported.
    const validity = { from: Math.max(...all.map(({ from }) => from)), to: Math.min(...all.map(({ to }) => to)) };
    validities.set("tlsCert", validity);
  }
  const authority = (setting: string): string | undefined => {
    const file = certificatesIn(files, setting);
    if (file === undefined) return undefined;
    // While authorities change, the file has the old one beside the new one.
    const validity = file.parsed.map(validityOf).reduce((last, each) => (each.to > last.to ? each : last));
    requireValid(setting, file.path, validity, nowMs);
    validities.set(setting, validity);
    return file.text;
  };
  return { own, ca: authority("tlsCa"), clientCa: authority("nodeClientCa"), validities };
}
