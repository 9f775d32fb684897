/**
 * A cluster of nodes as processes, with their data in one directory. When this process ends, however it ends, the nodes
 * are killed and the directory is removed.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newAdminKey, type NodeProcess, randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";

/** A process that is not a node, such as a broker. */
interface OtherProcess {
  kill(): Promise<void>;
}

export abstract class ProcessCluster<Name extends string> {
  readonly adminKey = newAdminKey();
  readonly nodeKey = randomHex(32);
  /** The directory for all data on disk. */
  readonly directory: string;
  readonly nodes = new Map<Name, NodeProcess>();

  readonly #removeAll = (): void => {
    for (const one of this.#processes) void one.kill();
    this.#release();
  };

  constructor(name: string) {
    this.directory = mkdtempSync(join(tmpdir(), `ostiary-${name}-`));
    // Also if this process is interrupted. Signals are sent immediately.
    process.once("exit", this.#removeAll);
  }

  node(name: Name): NodeProcess {
    return must(this.nodes.get(name));
  }

  /** The end of each node's output, for the report of a failed run. */
  lastWords(): string {
    return [...this.nodes].map(([name, { output }]) => `--- ${name}\n${output.slice(-wordsKept)}`).join("\n");
  }

  /** Runs the steps of a start. If one fails, everything is removed, and the error has the output of the nodes. */
  async startWith(steps: () => Promise<void>): Promise<void> {
    try {
      await steps();
    } catch (error) {
      const words = this.lastWords();
      await this.stop();
      throw new Error(`${error instanceof Error ? error.message : String(error)}\n${words}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.kill()));
    this.#release();
    process.off("exit", this.#removeAll);
  }

  /** The processes that are not nodes. */
  protected abstract others(): readonly OtherProcess[];

  /** Called before the directory is removed, maybe twice. */
  protected abstract release(): void;

  get #processes(): readonly OtherProcess[] {
    return [...this.nodes.values(), ...this.others()];
  }

  #release(): void {
    this.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

const wordsKept = 20_000;
