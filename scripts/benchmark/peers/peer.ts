import type { Library, LibraryQuestion } from "./library.ts";

/** An authorization engine in this process that holds the library, or what it needs of it. */
export interface Peer {
  readonly name: string;
  /** Turns questions into what the engine takes, before the time is taken. */
  prepare(questions: readonly LibraryQuestion[]): Asking;
  close(): void;
}

/** Asks all questions, one after the other. */
export type Asking = () => boolean[] | Promise<boolean[]>;

/** Rejects where the package is missing, or doesn't run on this machine. */
export type OpenPeer = (library: Library) => Promise<Peer>;
