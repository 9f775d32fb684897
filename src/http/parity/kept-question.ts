/** The questions in parity reports. A node accepted them when they were asked, so its present limits do not apply. */
import { defaultLimits } from "../../config/limits.ts";
import type { AuthorizeQuestion } from "../../engine/request/questions.ts";
import { parseJson } from "../request/body-reader.ts";
import { requestParsers } from "../request/request-schemas.ts";

const max = Number.MAX_SAFE_INTEGER;
const { authorize } = requestParsers({ ...defaultLimits, contextFactsMax: max, identifierBytesMax: max });

/** Throws `invalid_request` if the text is not the body of a question. */
export function parseKeptQuestion(text: string): AuthorizeQuestion {
  return authorize(parseJson(text));
}
