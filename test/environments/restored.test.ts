/** What a node notes of restored environments, and which directories it keeps. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { EnvironmentDirectories } from "../../src/environments/directories.ts";
import { registryEnvironment } from "../../src/environments/registry.ts";
import { RestoredNote } from "../../src/environments/restored-note.ts";
import { nextStorePath, restoredName, writeNodeFile } from "../../src/store/directory/data-directory.ts";
import { withDirectory } from "../replication/cluster.ts";
import { SimulatedClock } from "../replication/simulated-clock.ts";

test("the time in which environments may be missing begins with the first start after a restore", () =>
  withDirectory((directory) => {
    const clock = new SimulatedClock();
    const started = (): RestoredNote => {
      const note = new RestoredNote(directory, 1000, clock);
      note.read();
      return note;
    };
    expect([started().untilMs, started().isOver]).toEqual([undefined, false]);
    writeNodeFile(directory, restoredName, "registry");
    const untilMs = clock.wallMs() + 1000;
    expect(started().untilMs).toBe(untilMs);
    clock.pass(600);
    expect([started().untilMs, started().isOver]).toEqual([untilMs, false]);
    clock.pass(400);
    expect([started().untilMs, started().isOver]).toEqual([untilMs, true]);
    started().begin();
    started().end();
    expect(started().isOver).toBe(true);
    started().remove();
    expect([started().untilMs, started().isOver]).toEqual([undefined, false]);
    return Promise.resolve();
  }));

test("directories of deleted, unregistered and earlier environments have no data of the node, and go with a final deletion", () =>
  withDirectory((directory) => {
    const directories = new EnvironmentDirectories(directory);
    const entry = (id: string, createdMs = 5, deletedMs?: number) => ({ id, name: id, createdMs, deletedMs });
    const fill = (id: string): void => writeFileSync(nextStorePath(directories.pathOf(id)), "");
    for (const id of ["shop", "web", "cart", registryEnvironment]) {
      directories.prepare(entry(id));
      fill(id);
    }
    directories.prepareNew(entry("begun"));
    fill("begun");
    directories.prepare(entry("cart", 6));
    expect(directories.hasStore("cart")).toBe(false);
    fill("cart");
    expect(directories.withData().toSorted()).toEqual(["cart", "shop", "web"]);

    const kept = [entry("shop"), entry("web", 5, 9), entry("cart", 6)];
    const begun = { ...entry("begun"), deletedMs: undefined };
    directories.sweep({ kept: [...kept, begun], removed: [] });
    expect(directories.withData().toSorted()).toEqual(["begun", "cart", "shop"]);
    directories.sweep({ kept: [entry("shop"), entry("web"), entry("cart", 6)], removed: [entry("cart", 5)] });
    // What the list does not have stays, since the list may be an old one.
    expect(directories.withData().toSorted()).toEqual(["begun", "cart", "shop", "web"]);
    expect(directories.hasStore("cart.5")).toBe(false);

    directories.markAllRestored();
    directories.sweep({ kept: [], removed: [entry("shop"), entry("web")] });
    const restored = ["begun", "cart", "shop", "web"].map((id) => ({ id, createdMs: id === "cart" ? 6 : 5 }));
    expect(directories.restored().toSorted((one, other) => (one.id < other.id ? -1 : 1))).toEqual(restored);
    for (const id of ["shop", "web"]) directories.markAccepted(id);
    directories.sweep({ kept: [entry("web")], removed: [entry("shop")] });
    expect(directories.withData().toSorted()).toEqual(["begun", "cart", "web"]);
    return Promise.resolve();
  }));
