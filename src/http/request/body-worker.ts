/**
 * A thread that parses and checks large request bodies. A body of ten megabytes can hold millions of values; here, reading them delays no answer.
 * Only what the schema keeps goes back, as JSON: a string costs the serving thread next to nothing to receive.
 */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { questionToJson } from "../../engine/request/question-json.ts";
import { serveWorker } from "../../runtime/worker.ts";
import { AppError } from "../../util/app-error.ts";
import { decodeText, parseJson } from "./body-reader.ts";
import { type RequestName, type RequestParsers, requestParsers } from "./request-schemas.ts";

export type BodyCommands = typeof commands;

let requests: RequestParsers = requestParsers(defaultLimits);

const commands = {
  setLimits(limits: Limits): void {
    requests = requestParsers(limits);
  },

  /** What the body asks for, as JSON (`question-text.ts`). Throws what refuses it. */
  parse(name: RequestName, bytes: Uint8Array): string {
    try {
      return questionToJson(requests[name](parseJson(decodeText(bytes))));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // The engine of JavaScript has bounds of its own for depth and size.
      throw new AppError("invalid_request", "the body can't be read: it is nested too deeply, or too large", {
        cause: error,
      });
    }
  },
};

serveWorker(commands, () => {});
