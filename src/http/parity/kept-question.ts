/** The questions in parity reports. A node accepted them when they were asked, so its present limits do not apply. */
import { defaultLimits } from "../../config/limits.ts";
import type { AuthorizeQuestion } from "../../engine/request/questions.ts";
import { parseJson } from "../request/body-reader.ts";
import { requestParsers, simpleAuthorizeQuestion } from "../request/request-schemas.ts";

const max = Number.MAX_SAFE_INTEGER;
const limits = { ...defaultLimits, contextFactsMax: max, identifierBytesMax: max };
const { authorize } = requestParsers(limits);

/** Throws `invalid_request` if the text is not the body of a question. */
export function parseKeptQuestion(text: string): AuthorizeQuestion {
  const body = parseJson(text);
  return simpleAuthorizeQuestion(body, text, limits) ?? authorize(body);
}
