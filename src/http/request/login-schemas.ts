/** The schemas of the requests that log in. */
import { z } from "zod";
import { validator } from "./schema-error.ts";

const text = z.string().min(1).max(4096);

export const loginParsers = {
  loginCode: validator("body", z.strictObject({ code: z.string().min(1).max(100) })),
  loginToken: validator(
    "body",
    z.strictObject({
      code: text,
      // RFC 7636 (4.1).
      code_verifier: z.string().min(43).max(128),
      redirect_uri: text,
      nonce: text,
      iss: text.optional(),
    }),
  ),
};

export type CodeGrant = ReturnType<typeof loginParsers.loginToken>;
