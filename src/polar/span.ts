/**
 * A range in a source file: offsets in UTF-16 code units, `end` exclusive. `file` is the name that diagnostics print.
 */
export interface Span {
  readonly file: string;
  readonly start: number;
  readonly end: number;
}
