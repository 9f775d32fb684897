/** When a certificate is valid. */
import type { X509Certificate } from "node:crypto";
import { AppError } from "../util/app-error.ts";

/** In ms since 1970. */
export interface Validity {
  readonly from: number;
  readonly to: number;
}

export function validityOf({ validFrom, validTo }: X509Certificate): Validity {
  return { from: Date.parse(validFrom), to: Date.parse(validTo) };
}

/** AppError `conflict` that names the file if the certificate in it is not valid now. */
export function requireValid(setting: string, path: string, { from, to }: Validity, nowMs: number): void {
  const refuse = (problem: string): AppError =>
    new AppError("conflict", `the certificate in the file \`${path}\` of \`${setting}\` ${problem}`);
  if (to <= nowMs) throw refuse(`expired on ${iso(to)}: renew it and replace the file`);
  if (from > nowMs)
    throw refuse(
      `is valid from ${iso(from)} on: set the clock of this machine, or replace the file by a valid certificate`,
    );
}

export function iso(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}
