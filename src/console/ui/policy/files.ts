/**
 * The files of a policy in the editor. They are stored as one text with one name, which says which lines are of which
 * file, as `ostiary policy` does it. Pure.
 */

export interface PolicyFile {
  /** Stays when the file gets another name. */
  readonly id: number;
  readonly name: string;
  readonly text: string;
  /** How often something else than the editor has replaced the text. */
  readonly revision: number;
}

export interface StoredPolicy {
  /** The number of its version; undefined as long as the node has not said it. */
  readonly id?: number;
  readonly filename: string | null;
  readonly src: string;
  /** The files that the text was joined from, if there were several. */
  readonly parts?: readonly { readonly filename: string; readonly lines: number }[];
}

/** A policy in the editor, with changes that are not saved. */
export interface Draft {
  /** The active policy when the changes began; undefined if there was none. */
  readonly base: StoredPolicy | undefined;
  readonly files: readonly PolicyFile[];
  /** The id of the file that is shown. */
  readonly shown: number;
}

/** The limits of a node. */
export const filesMax = 100;
const nameBytesMax = 1024;

export const defaultName = "policy.polar";

export function draftOf(base: StoredPolicy | undefined): Draft {
  const src = base?.src ?? "";
  const parts = base?.parts ?? [{ filename: base?.filename || defaultName, lines: Infinity }];
  let before = 0;
  const lines = src.split("\n");
  const files = parts.map(({ filename, lines: count }, index): PolicyFile => {
    const text = lines.slice(before, before + count).join("\n");
    before += count;
    return { id: index + 1, name: filename, text: normalized(text), revision: 0 };
  });
  return { base, files, shown: 1 };
}

/**
 * The draft when the active policy was read again. Changes stay, on the policy with which they began; a draft without
 * changes follows the active policy.
 */
export function refreshed(draft: Draft | undefined, active: StoredPolicy | undefined): Draft {
  if (draft === undefined) return draftOf(active);
  if (isSamePolicy(draft.base, active)) return { ...draft, base: active };
  return isChanged(draft) ? draft : withBase(draft, active);
}

/**
 * The version that somebody else has saved since the changes began; undefined if nobody has. `active` is the version
 * that is active now.
 */
export function otherVersion<T extends { readonly policy: StoredPolicy }>(
  base: StoredPolicy | undefined,
  active: T | null,
): T | undefined {
  return active === null || isSamePolicy(base, active.policy) ? undefined : active;
}

/** The files of another policy instead of all changes. It shows the file with the same name. */
export function withBase(draft: Draft, base: StoredPolicy | undefined): Draft {
  const { name } = shownFile(draft);
  const revision = 1 + Math.max(...draft.files.map((file) => file.revision));
  const files = draftOf(base).files.map((file) => ({ ...file, revision }));
  return { base, files, shown: files.find((file) => file.name === name)?.id ?? 1 };
}

/** Whether both have the same files. */
export function isSamePolicy(one: StoredPolicy | undefined, other: StoredPolicy | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  const partsOf = ({ parts }: StoredPolicy): string => JSON.stringify(parts ?? null);
  return one.src === other.src && one.filename === other.filename && partsOf(one) === partsOf(other);
}

/** Whether saving would change the policy, or the name of a file. */
export function isChanged({ base, files }: Draft): boolean {
  const unchanged = draftOf(base).files;
  return (
    files.length !== unchanged.length ||
    files.some(({ name, text }, index) => name !== unchanged[index]?.name || text !== unchanged[index].text)
  );
}

/** The body of an upload. */
export function storedOf(files: readonly PolicyFile[]) {
  const names = files.map(({ name }) => name).join(", ");
  const isShort = new TextEncoder().encode(names).byteLength <= nameBytesMax;
  const parts = files.map(({ name, text }) => ({ filename: name, lines: text.split("\n").length }));
  return {
    src: files.map(({ text }) => text).join("\n"),
    filename: isShort ? names : `${files.length} files`,
    ...(files.length > 1 && isShort && { parts }),
  };
}

/** The body of a check, which names the files. */
export function checkedOf(files: readonly PolicyFile[]) {
  return { files: files.map(({ name, text }) => ({ filename: name, src: text })) };
}

export function shownFile({ files, shown }: Draft): PolicyFile {
  const file = files.find(({ id }) => id === shown) ?? files[0];
  if (file === undefined) throw new Error("a draft has at least one file");
  return file;
}

/** Adds files and shows the last one. A name that is taken gets a number. */
export function withFiles(draft: Draft, added: readonly Pick<PolicyFile, "name" | "text">[]): Draft {
  const files = [...draft.files];
  for (const { name, text } of added.slice(0, filesMax - files.length)) {
    const id = Math.max(...files.map((file) => file.id)) + 1;
    files.push({ id, name: freeName(name, files), text: normalized(text), revision: 0 });
  }
  return { ...draft, files, shown: files.at(-1)?.id ?? draft.shown };
}

/** Removes a file; the last one stays. */
export function withoutFile(draft: Draft, id: number): Draft {
  const files = draft.files.filter((file) => file.id !== id);
  const [first] = files;
  if (first === undefined) return draft;
  return { ...draft, files, shown: draft.shown === id ? first.id : draft.shown };
}

export function withText(draft: Draft, id: number, text: string): Draft {
  return { ...draft, files: draft.files.map((file) => (file.id === id ? { ...file, text } : file)) };
}

/**
 * Appends a test to the shown file, with a number in its name if another test has that name. `line` is where it begins.
 */
export function withTest(draft: Draft, test: string): { readonly draft: Draft; readonly line: number } {
  const shown = shownFile(draft);
  const [, header = "", rest = ""] = /^(test "(?:[^"\\]|\\.)*)("[^]*)$/.exec(test) ?? [];
  const isTaken = (text: string): boolean => draft.files.some((file) => file.text.includes(`${text}"`));
  let named = header;
  for (let number = 2; isTaken(named); number++) named = `${header} (${number})`;
  const before = shown.text.trimEnd();
  const text = `${before}${before === "" ? "" : "\n\n"}${named}${rest}\n`;
  const line = before === "" ? 1 : before.split("\n").length + 2;
  const files = draft.files.map((file) => (file === shown ? { ...file, text, revision: file.revision + 1 } : file));
  return { draft: { ...draft, files }, line };
}

/** An empty name, or one that another file has, is not taken. */
export function withName(draft: Draft, id: number, name: string): Draft {
  const others = draft.files.filter((file) => file.id !== id);
  if (name === "" || others.some((file) => file.name === name)) return draft;
  return { ...draft, files: draft.files.map((file) => (file.id === id ? { ...file, name } : file)) };
}

/** Replaces texts, by name of the file, but not those that somebody has changed since they were `sent` to the node. */
export function withTexts(draft: Draft, sent: readonly PolicyFile[], texts: ReadonlyMap<string, string>): Draft {
  const sentTexts = new Map(sent.map(({ id, text }) => [id, text]));
  const files = draft.files.map((file) => {
    const text = texts.get(file.name);
    if (text === undefined || sentTexts.get(file.id) !== file.text) return file;
    return { ...file, text, revision: file.revision + 1 };
  });
  return { ...draft, files };
}

function freeName(wanted: string, files: readonly PolicyFile[]): string {
  const taken = new Set(files.map(({ name }) => name));
  if (!taken.has(wanted)) return wanted;
  const [, stem = wanted, end = ""] = /^(.*?)(\.polar)?$/s.exec(wanted) ?? [];
  for (let number = 2; ; number++) {
    const name = `${stem}-${number}${end}`;
    if (!taken.has(name)) return name;
  }
}

/** The editor ends lines with `\n`, so what it saves does as well. */
function normalized(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}
