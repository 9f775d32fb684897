/**
 * The PEM files for connections of a node to brokers, a coordination service or an OpenID provider. They are read again
 * for each attempt, since certificates are renewed. Files that can't be used any more do not end what works: the earlier
 * texts stay.
 */
import { tlsFetchOptions } from "../runtime/fetch.ts";
import { getLogger } from "../telemetry/logger.ts";
import { reasonOf } from "../util/reason.ts";
import type { TlsFiles } from "./tls-files.ts";

const log = getLogger("tls");

export class RenewedTlsFiles {
  readonly #readFiles: () => TlsFiles;
  #texts: TlsFiles;
  #fetchOptions: RequestInit | undefined;
  /** What was wrong at the last reading. Files that are just being replaced are wrong for one reading only. */
  #problem: string | undefined;
  #loggedProblem: string | undefined;

  /** Reads the files, and throws as `readFiles` does. */
  constructor(readFiles: () => TlsFiles) {
    this.#readFiles = readFiles;
    this.#texts = readFiles();
  }

  /** The texts of the files, as they are now if they can be used. */
  read(): TlsFiles {
    try {
      const texts = this.#readFiles();
      const { ca, cert, key } = this.#texts;
      if (texts.ca !== ca || texts.cert !== cert || texts.key !== key) {
        this.#texts = texts;
        this.#fetchOptions = undefined;
      }
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

  #noteProblem(problem: string): void {
    if (problem === this.#problem && problem !== this.#loggedProblem) {
      this.#loggedProblem = problem;
      log.error("{problem}: the earlier certificates stay in use", { problem });
    }
    this.#problem = problem;
  }
}
