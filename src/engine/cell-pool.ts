/** Worker processes without work, kept for a moment in case there is more. */
import { type Cell, spawnCell } from "../runtime/cell.ts";
import { AppError } from "../util/app-error.ts";
import type { AsideCommands } from "./aside-worker.ts";

export type AsideCell = Cell<AsideCommands>;

/** How long a process without work is kept. */
const idleMs = 60_000;

export class CellPool {
  readonly #idle = new Map<AsideCell, ReturnType<typeof setTimeout>>();

  /** Throws where the system starts no process. */
  take(): AsideCell {
    const [known] = this.#idle;
    if (!known) return this.#spawn();
    const [cell] = known;
    this.#forget(cell);
    return cell;
  }

  keep(cell: AsideCell): void {
    if (cell.worker.hasExited) return;
    const end = (): void => cell.worker.terminate(new AppError("not_ready", "the process is not needed now"));
    const timer = setTimeout(end, idleMs);
    timer.unref();
    this.#idle.set(cell, timer);
  }

  #spawn(): AsideCell {
    const cell = spawnCell<AsideCommands>("aside");
    void cell.worker.exited.then(() => this.#forget(cell));
    return cell;
  }

  #forget(cell: AsideCell): void {
    clearTimeout(this.#idle.get(cell));
    this.#idle.delete(cell);
  }
}
