import type { Library, LibraryQuestion } from "./library.ts";

/** An authorization engine in this process with the data of the library. */
export interface Peer {
  readonly name: string;
  /** Converts questions to the form of the engine, before the measurement. */
  prepare(questions: readonly LibraryQuestion[]): Asking;
  close(): void;
}

/** Asks all questions, one after the other. */
export type Asking = () => boolean[] | Promise<boolean[]>;

/** Rejects if the package is missing or does not run on this machine. */
export type OpenPeer = (library: Library) => Promise<Peer>;
