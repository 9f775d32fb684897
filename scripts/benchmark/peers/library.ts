/** The data of all peers: 200 users, 20 groups, a tree of 50 folders with five levels, 500 documents, and viewers. */
import { below, random, type Random } from "../random.ts";

export interface Library {
  /** The groups of each user. */
  readonly groupsOf: readonly (readonly number[])[];
  readonly folders: readonly Place[];
  readonly documents: readonly Place[];
}

/** A folder or a document. */
export interface Place {
  /** Its parent folder. */
  readonly above: number | undefined;
  readonly users: readonly number[];
  readonly groups: readonly number[];
}

export interface LibraryQuestion {
  readonly user: number;
  readonly document: number;
}

const [users, groups, folders, documents] = [200, 20, 50, 500];
const levels = 5;
const foldersOfLevel = folders / levels;

export function libraryOf(seed: number): Library {
  const next = random(seed);
  return {
    groupsOf: many(users, () => some(next, 2, groups)),
    folders: many(folders, (index) => {
      const level = Math.floor(index / foldersOfLevel);
      const above = level === 0 ? undefined : (level - 1) * foldersOfLevel + below(next, foldersOfLevel);
      return { above, users: some(next, 2, users), groups: next() < 0.5 ? some(next, 1, groups) : [] };
    }),
    documents: many(documents, () => ({
      above: below(next, folders),
      users: some(next, 2, users),
      groups: next() < 0.5 ? some(next, 1, groups) : [],
    })),
  };
}

export function libraryQuestions(seed: number, count: number): LibraryQuestion[] {
  const next = random(seed);
  return many(count, () => ({ user: below(next, users), document: below(next, documents) }));
}

const many = <Item>(count: number, make: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => make(index));

const some = (next: Random, count: number, of: number): number[] => [...new Set(many(count, () => below(next, of)))];
