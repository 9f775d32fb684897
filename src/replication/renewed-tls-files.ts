/**
 * The PEM files for connections of a node to brokers, a coordination service or an OpenID provider. They are read again
 * for each attempt, since certificates are renewed. Files that can't be used any more do not end what works: the earlier
 * texts stay.
 */
import { tlsFetchOptions } from "../runtime/fetch.ts";
import { getLogger } from "../telemetry/logger.ts";
import { systemClock } from "../util/clock.ts";
import { reasonOf } from "../util/reason.ts";
import { describeInvalid, readTlsFiles, type TlsFiles } from "./tls-files.ts";

const log = getLogger("tls");

export class RenewedTlsFiles {
  readonly #readFiles: () => TlsFiles;
  readonly #describeInvalid: () => string | undefined;
  #loggedInvalid: string | undefined;
  #texts: TlsFiles;
  #fetchOptions: RequestInit | undefined;
  /** What was wrong at the last reading. Files that are just being replaced are wrong for one reading only. */
  #problem: string | undefined;
  #loggedProblem: string | undefined;

  /** Reads the files, and throws as `readFiles` does. `describeInvalid` says what others will refuse. */
  constructor(readFiles: () => TlsFiles, describeInvalid: () => string | undefined = () => undefined) {
    this.#readFiles = readFiles;
    this.#describeInvalid = describeInvalid;
    this.#texts = readFiles();
    this.#noteInvalid();
  }

  /** The texts of the files, as they are now if they can be used. */
  read(): TlsFiles {
    try {
      const texts = this.#readFiles();
      const { ca, cert, key } = this.#texts;
      if (texts.ca !== ca || texts.cert !== cert || texts.key !== key) {
        // Throws for what only TLS itself refuses.
        this.#fetchOptions = tlsFetchOptions(texts);
        this.#texts = texts;
      }
      this.#noteInvalid();
      this.#problem = undefined;
      this.#loggedProblem = undefined;
    } catch (error) {
      this.#noteProblem(reasonOf(error));
    }
    return this.#texts;
  }

  /** To be merged with the other options of one `fetch`. */
  fetchOptions(): RequestInit {
    const texts = this.read();
    return (this.#fetchOptions ??= tlsFetchOptions(texts));
  }

  #noteInvalid(): void {
    const invalid = this.#describeInvalid();
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
export function renewedTlsFiles(owner: "broker" | "failover", paths: TlsFiles): RenewedTlsFiles {
  const invalid = (): string | undefined => describeInvalid(owner, paths, systemClock.wallMs());
  return new RenewedTlsFiles(() => readTlsFiles(owner, paths), invalid);
}
