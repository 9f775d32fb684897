/**
 * A thread that asks a node questions over many connections, and checks that each answer was right at a moment between
 * question and answer. It works on sockets, because a full HTTP client needs more time than the node.
 */
import * as Bun from "bun";
import { serveWorker } from "../../src/runtime/worker.ts";
import { must } from "../../src/util/assert.ts";
import { random } from "../../scripts/benchmark/random.ts";
import { done, isOver, repos, type SharedHistory, Truth, users } from "./history.ts";

export interface Plan {
  readonly port: number;
  readonly history: SharedHistory;
  /** Questions with a consistency token have it from this epoch; undefined for questions without one. */
  readonly epoch: string | undefined;
  readonly keys: readonly string[];
  readonly connections: number;
  readonly seed: number;
}

export interface Asked {
  readonly refused: number;
  /** At most some. */
  readonly wrong: readonly string[];
}

export type QuestionerCommands = typeof commands;

interface Question {
  readonly key: number;
  readonly path: string;
  readonly body: object;
  /** The answer after so many steps. */
  readonly answerAfter: (steps: number) => unknown;
  /** The steps that were done when it was sent. */
  readonly from: number;
}

const wrongMax = 5;

const commands = {
  async ask(plan: Plan): Promise<Asked> {
    const { history } = plan;
    const truth = new Truth(history);
    const draw = random(plan.seed);
    const below = (end: number): number => Math.floor(draw() * end);
    const wrong: string[] = [];
    let refused = 0;

    const next = (): Question => {
      const from = done(history);
      // Removed keys too, but mostly the first one, which stays.
      const key = below(4) > 0 ? 0 : 1 + below(below(2) > 0 ? 3 : plan.keys.length - 1);
      const [user, repo] = [below(users), below(repos)];
      const actor = { actor_type: "User", actor_id: `u${user}`, action: "read" };
      const all = Array.from({ length: repos }, (_, index) => index);
      switch (below(8)) {
        case 0: {
          const readable = (steps: number) =>
            all.filter((each) => truth.mayRead(user, each, steps)).map((each) => `r${each}`);
          const answerAfter = (steps: number) => ({ results: readable(steps).sort() });
          return { key, from, path: "/api/list", body: { ...actor, resource_type: "Repo" }, answerAfter };
        }
        case 1: {
          const body = { actor_type: "User", actor_id: `u${user}`, resource_type: "Repo", resource_id: `r${repo}` };
          const answerAfter = (steps: number) => ({ results: truth.mayRead(user, repo, steps) ? ["read"] : [] });
          return { key, from, path: "/api/actions", body, answerAfter };
        }
        default: {
          const body = { ...actor, resource_type: "Repo", resource_id: `r${repo}` };
          const answerAfter = (steps: number) => ({ allowed: truth.mayRead(user, repo, steps) });
          return { key, from, path: "/api/authorize", body, answerAfter };
        }
      }
    };
    const check = ({ key, path, body, answerAfter, from }: Question, status: number, text: string): void => {
      const to = truth.update();
      const possible = Array.from({ length: to - from + 1 }, (_, index) => from + index);
      if (status === 401) refused += 1;
      const isRight =
        status === 401
          ? possible.some((steps) => !truth.isKey(key, steps))
          : status === 200 &&
            possible.some((steps) => truth.isKey(key, steps) && JSON.stringify(answerAfter(steps)) === text);
      if (!isRight && wrong.length < wrongMax)
        wrong.push(`${path} ${JSON.stringify(body)} with key ${key} after ${from} to ${to} steps: ${status} ${text}`);
    };
    const isEnough = (): boolean => isOver(history) || wrong.length >= wrongMax;
    /** Asks until the node closes the connection, as it does after a refused key, or until the end. */
    const connection = (): Promise<void> => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      let question: Question | undefined;
      let received = "";
      const send = (socket: Bun.Socket): void => {
        if (isEnough()) return void socket.end();
        Atomics.add(history.counters, 3, 1);
        question = next();
        const body = JSON.stringify(question.body);
        const offset = history.offsets[question.from - 1] ?? 0;
        const token = plan.epoch === undefined ? "" : `OsoOffset: ${plan.epoch}:${offset}\r\n`;
        const head = `POST ${question.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${plan.keys[question.key]}\r\n`;
        socket.write(`${head}${token}Content-Length: ${body.length}\r\n\r\n${body}`);
      };
      void Bun.connect({
        hostname: "127.0.0.1",
        port: plan.port,
        socket: {
          open: send,
          data(socket, chunk) {
            received += chunk.toString("latin1");
            const end = received.indexOf("\r\n\r\n");
            const length = /\r\ncontent-length: (\d+)/i.exec(received)?.[1];
            if (end < 0 || length === undefined || received.length < end + 4 + Number(length)) return;
            check(must(question), Number(received.slice(9, 12)), received.slice(end + 4));
            question = undefined;
            const isClosing = /\r\nconnection: close/i.test(received);
            received = "";
            if (!isClosing) send(socket);
          },
          close: () =>
            question === undefined ? resolve() : reject(new Error(`no answer to ${question.path}: ${received}`)),
          error: (_socket, error) => reject(error),
        },
      }).catch(reject);
      return promise;
    };
    const ask = async (): Promise<void> => {
      while (!isEnough()) await connection();
    };
    await Promise.all(Array.from({ length: plan.connections }, ask));
    return { refused, wrong };
  },
};

serveWorker(commands, () => {});
