/**
 * A client of etcd v3 over its JSON gateway. It knows all members of the cluster: if one gives no usable answer it asks
 * the next one, and then stays with the member that answered.
 */
import { z } from "zod";
import { describeProblem } from "../../../util/bounded-schema.ts";
import { reasonOf } from "../../../util/reason.ts";
import type { System } from "../../system.ts";
import { withAttemptTimeout, readBoundedText } from "./engine-calls.ts";

export interface EtcdClientOptions {
  /** `http://host:port` of each member. */
  readonly endpoints: readonly string[];
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** The maximum duration of a whole call of the lease. */
  readonly budgetMs: number;
  readonly tls: RequestInit;
}

/** 64-bit integers are strings in JSON. Zero is omitted. */
export const int64 = z.union([z.string().regex(/^-?\d+$/), z.int().transform(String)]).default("0");

const authenticated = z.object({ token: z.string().min(1) });
const refusal = z.object({ message: z.string().optional(), error: z.string().optional() });

/** Other members would refuse the request as well. */
class EtcdRefusal extends Error {}
class TokenRejectedError extends Error {}

export class EtcdClient {
  readonly #options: EtcdClientOptions;
  readonly #system: Pick<System, "fetch" | "clock">;
  #preferred = 0;
  #token: string | undefined;

  constructor(options: EtcdClientOptions, system: Pick<System, "fetch" | "clock">) {
    this.#options = options;
    this.#system = system;
  }

  /** Asks the members in turn. A request may reach two of them, so it must be idempotent. */
  async call<Schema extends z.ZodType>(
    path: string,
    body: object,
    schema: Schema,
    signal: AbortSignal,
  ): Promise<z.output<Schema>> {
    const { endpoints, budgetMs } = this.#options;
    // Leaves time for the other members, and for another call.
    const timeoutMs = Math.floor(budgetMs / (endpoints.length + 1));
    const failures: string[] = [];
    for (let tried = 0; tried < endpoints.length; tried++) {
      const member = this.#preferred;
      const endpoint = endpoints[member] ?? "";
      try {
        return await withAttemptTimeout(this.#system.clock, timeoutMs, signal, (limited) =>
          this.#authorized(endpoint, path, body, schema, limited),
        );
      } catch (error) {
        if (error instanceof EtcdRefusal) throw error;
        signal.throwIfAborted();
        failures.push(`${new URL(endpoint).host}: ${reasonOf(error)}`);
        if (this.#preferred === member) this.#preferred = (member + 1) % endpoints.length;
      }
    }
    throw new Error(failures.join(", "));
  }

  /** Logs in if credentials are configured, and again if the token has expired. */
  async #authorized<Schema extends z.ZodType>(
    endpoint: string,
    path: string,
    body: object,
    schema: Schema,
    signal: AbortSignal,
  ): Promise<z.output<Schema>> {
    const { username, password } = this.#options;
    if (username === undefined) return await this.#post(endpoint, path, body, schema, signal);
    const logIn = async (): Promise<string> => {
      const credentials = { name: username, password: password ?? "" };
      const { token } = await this.#post(endpoint, "auth/authenticate", credentials, authenticated, signal);
      return (this.#token = token);
    };
    const known = this.#token;
    if (known !== undefined) {
      try {
        return await this.#post(endpoint, path, body, schema, signal, known);
      } catch (error) {
        if (!(error instanceof TokenRejectedError)) throw error;
      }
    }
    return await this.#post(endpoint, path, body, schema, signal, await logIn());
  }

  async #post<Schema extends z.ZodType>(
    endpoint: string,
    path: string,
    body: object,
    schema: Schema,
    signal: AbortSignal,
    token?: string,
  ): Promise<z.output<Schema>> {
    const response = await this.#system.fetch(`${endpoint}/v3/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token === undefined ? {} : { Authorization: token }) },
      body: JSON.stringify(body),
      signal,
      redirect: "error",
      ...this.#options.tls,
    });
    const answer = parseJson(await readBoundedText(response));
    if (answer === undefined && response.ok) throw new Error("an answer that is not JSON");
    if (!response.ok) throw responseError(response.status, answer, token);
    const parsed = schema.safeParse(answer);
    if (!parsed.success) throw new Error(`an unexpected answer: ${describeProblem(parsed.error)}`);
    return parsed.data;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The message decides, since versions use different status codes for an invalid token. */
function responseError(status: number, answer: unknown, token: string | undefined): Error {
  const parsed = refusal.safeParse(answer);
  const message = (parsed.success ? (parsed.data.message ?? parsed.data.error) : undefined) ?? "no reason given";
  const text = `${status} ${message}`;
  if (token !== undefined && /invalid auth token|revision of auth store is old/.test(message))
    return new TokenRejectedError(text);
  return status >= 400 && status < 500 && status !== 408 && status !== 429 ? new EtcdRefusal(text) : new Error(text);
}
