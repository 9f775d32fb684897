/**
 * A thread that parses and validates large request bodies. A body of 10 MB can have millions of values; on this thread,
 * parsing them delays no response. The result, without unknown keys, goes back as JSON: the serving thread receives a
 * string at almost no cost.
 */
import { defaultLimits, type Limits } from "../../config/limits.ts";
import { questionToJson } from "../../engine/request/questions.ts";
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

  /** Parses a body and returns the request as JSON (`questions.ts`). Throws the refusal of an invalid one. */
  parse(name: RequestName, bytes: Uint8Array): string {
    try {
      const request = requests[name](parseJson(decodeText(bytes)));
      // Only queries have a map; for the thousand facts of a batch the conversion would take twice the time of JSON alone.
      return name === "query" || name === "queryLocal" ? questionToJson(request) : JSON.stringify(request);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      // JavaScript has its own limits of depth and size.
      throw new AppError("invalid_request", "the body cannot be parsed: it is nested too deeply or too large", {
        cause: error,
      });
    }
  },
};

serveWorker(commands, () => {});
