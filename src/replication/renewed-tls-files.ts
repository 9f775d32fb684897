/**
 * The PEM files for connections of a node to brokers, a coordination service or an OpenID provider. They are read again
 * for each attempt, since certificates are renewed. Files that can't be used any more do not end what works: the earlier
 * texts stay.
 */
import { tlsFetchOptions } from "../runtime/fetch.ts";
import { getLogger } from "../telemetry/logger.ts";
import { systemClock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import {
  authorityIn,
  describeInvalid,
  type PemFiles,
  type PemPaths,
  readPemFiles,
  readPemFilesAgain,
  type TlsFiles,
  tlsFilesIn,
} from "./tls-files.ts";

const log = getLogger("tls");

/** An attempt does not wait longer for a file system. The next one gets what was read. */
const waitMsMax = 250;

/** The texts, and what others will refuse about them. */
type Parse = (files: PemFiles) => TlsFiles & { readonly invalid?: string | undefined };

export class RenewedTlsFiles {
  readonly #paths: PemPaths;
  readonly #parse: Parse;
  readonly #isEmpty: boolean;
  #reading: Promise<void> | undefined;
  #loggedInvalid: string | undefined;
  #texts: TlsFiles;
  #fetchOptions: RequestInit | undefined;
  /** What was wrong at the last reading. Files that are just being replaced are wrong for one reading only. */
  #problem: string | undefined;
  #loggedProblem: string | undefined;

  /** Reads the files of the settings. Throws as `parse` does. */
  constructor(paths: PemPaths, parse: Parse) {
    this.#paths = paths;
    this.#parse = parse;
    const files = readPemFiles(paths);
    this.#isEmpty = files.size === 0;
    const { invalid, ...texts } = parse(files);
    this.#texts = texts;
    this.#noteInvalid(invalid);
  }

  /** The texts that were read last. */
  get texts(): TlsFiles {
    return this.#texts;
  }

  /** The texts of the files, as they are now if they can be used. Does not reject. */
  async read(): Promise<TlsFiles> {
    if (this.#isEmpty) return this.#texts;
    this.#reading ??= this.#readAgain().finally(() => (this.#reading = undefined));
    const late = Promise.withResolvers<void>();
    const cancel = systemClock.after(waitMsMax, () => {
      this.#noteProblem(
        `reading the files of ${Object.keys(this.#paths).join(", ")} takes longer than ${waitMsMax} ms`,
      );
      late.resolve();
    });
    await Promise.race([this.#reading, late.promise]);
    cancel();
    return this.#texts;
  }

  /** To be merged with the other options of one `fetch`. */
  async fetchOptions(): Promise<RequestInit> {
    const texts = await this.read();
    return (this.#fetchOptions ??= tlsFetchOptions(texts));
  }

  async #readAgain(): Promise<void> {
    const files = await readPemFilesAgain(this.#paths);
    try {
      const { invalid, ...texts } = this.#parse(files);
      const { ca, cert, key } = this.#texts;
      if (texts.ca !== ca || texts.cert !== cert || texts.key !== key) {
        // Throws for what only TLS itself refuses.
        this.#fetchOptions = tlsFetchOptions(texts);
        this.#texts = texts;
      }
      this.#noteInvalid(invalid);
      this.#problem = undefined;
      this.#loggedProblem = undefined;
    } catch (error) {
      this.#noteProblem(reasonOf(error));
    }
  }

  #noteInvalid(invalid: string | undefined): void {
    if (invalid !== undefined && invalid !== this.#loggedInvalid)
      log.error("{invalid}; others refuse connections with it", { invalid });
    this.#loggedInvalid = invalid;
  }

  #noteProblem(problem: string): void {
    if (problem === this.#problem && problem !== this.#loggedProblem) {
      this.#loggedProblem = problem;
      log.error("{problem}: the earlier certificates stay in use", { problem });
    }
    this.#problem = problem;
  }
}

/** `owner` is the prefix of the settings. AppError `conflict` names the setting whose file cannot be read or used. */
export function renewedTlsFiles(owner: "broker" | "failover", { ca, cert, key }: TlsFiles): RenewedTlsFiles {
  return new RenewedTlsFiles({ [`${owner}Ca`]: ca, [`${owner}Cert`]: cert, [`${owner}Key`]: key }, (files) => ({
    ...tlsFilesIn(owner, files),
    invalid: describeInvalid(owner, files, systemClock.wallMs()),
  }));
}

/** Only the authority that a setting names. AppError `conflict` if its file cannot be read or used. */
export function renewedAuthority(setting: string, path: string | undefined): RenewedTlsFiles {
  return new RenewedTlsFiles({ [setting]: path }, (files) => ({
    ...{ ca: authorityIn(files, setting), cert: undefined, key: undefined },
  }));
}
