/**
 * The stored text of a policy: its source, and a trailer (the last line, a Polar comment) that says who uploaded it and
 * why, and which files it was joined from. Release 0.1.0 refuses events with members that it does not know, and databases of a later format. It stores,
 * replicates and hashes a comment like the rest of the source, so clusters of both releases keep the trailer.
 */
import { z } from "zod";

export interface Author {
  /** The id of the API key, or of the person (`person:` and the subject of the token). */
  readonly id: string;
  /** The name at that time; null if the key was removed during the upload, or if the token has no name. */
  readonly name: string | null;
}

/** One of the files that were joined to a source: its name, and how many of the next lines it has. */
export interface SourcePart {
  readonly filename: string;
  readonly lines: number;
}

export interface StoredPolicy {
  /** As it was uploaded. */
  readonly source: string;
  /** Null if the node itself loaded it, or if release 0.1.0 stored it. The same for `message`. */
  readonly author: Author | null;
  readonly message: string | null;
  /** The files that the source was joined from; undefined for one file, or if nobody said so. */
  readonly parts?: readonly SourcePart[] | undefined;
}

const begin = "\n# ostiary upload ";

/** The trailer names its policy: one that was copied into the source of another policy does not count. */
const trailer = z.lazy(() =>
  z.object({
    policy: z.number().int(),
    author: z.object({ id: z.string(), name: z.string().nullable() }).nullable(),
    message: z.string().nullable(),
    parts: z.array(z.object({ filename: z.string(), lines: z.number().int() })).optional(),
  }),
);

/** The text to store for the policy with this id. */
export function storedText(id: number, { source, author, message, parts }: StoredPolicy): string {
  return `${source}${begin}${asciiJson({ policy: id, author, message, parts })}`;
}

/** Whether a text that follows a whole policy is only a trailer, or looks like one: a comment of one line. */
export function isTrailer(text: string): boolean {
  return text.startsWith(begin) && /^[ -~]*$/.test(text.slice(1));
}

/** The reverse of `storedText`. A text without a trailer is a source. */
export function parseStoredText(id: number, text: string): StoredPolicy {
  const at = text.lastIndexOf(begin);
  const line = at === -1 ? "" : text.slice(at + begin.length);
  const { data } = trailer.safeParse(jsonIn(line));
  if (data?.policy !== id) return { source: text, author: null, message: null };
  const { author, message, parts } = data;
  return { source: text.slice(0, at), author, message, ...(parts !== undefined && { parts }) };
}

/** ASCII only: no character may end the comment early, or change how a terminal shows the text. */
function asciiJson(value: object): string {
  return JSON.stringify(value).replaceAll(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
