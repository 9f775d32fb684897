/**
 * The directories of hosted environments on the disk of this node, in its data directory. Each has the data of one
 * environment, and says when that was created, because a later environment can have the same id.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { environmentId } from "../config/environment-id.ts";
import { syncDirectory } from "../runtime/atomic-file.ts";
import {
  createdMsOf,
  createdName,
  currentStorePath,
  environmentsName,
  readNodeFile,
  removeNodeFile,
  restoredName,
  writeNodeFile,
} from "../store/directory/data-directory.ts";
import { getLogger } from "../telemetry/logger.ts";
import { StorageError } from "../util/storage-failure.ts";
import { registryEnvironment, type EnvironmentIdentity, type RegisteredEnvironment } from "./registry.ts";

const log = getLogger("environments");

/** A file that is there until the registry has the new environment. */
const unregisteredFile = "unregistered";
/** A file that is there while the environment is deleted, but not finally, for when the registry is lost. */
const deletedFile = "deleted";

/** What the registry has, for the removal of directories. */
export interface Registered {
  /** Active environments, and deleted ones that can be restored. */
  readonly kept: readonly RegisteredEnvironment[];
  /** Environments whose deletion is final. */
  readonly removed: readonly EnvironmentIdentity[];
}

/** What `ostiary restore` has put into a directory. */
export interface RestoredEnvironment {
  readonly id: string;
  /** Undefined if the backup does not say it. */
  readonly createdMs: number | undefined;
}

export class EnvironmentDirectories {
  readonly #directory: string;

  constructor(data: string) {
    this.#directory = join(data, environmentsName);
  }

  pathOf(id: string): string {
    return join(this.#directory, id);
  }

  /** The directories that have a database, those of deleted and earlier environments included. */
  withStore(): string[] {
    if (!existsSync(this.#directory)) return [];
    const entries = readdirSync(this.#directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return entries.filter(({ name }) => this.hasStore(name)).map(({ name }) => this.pathOf(name));
  }

  /** Whether this node has data of the environment. */
  hasStore(id: string): boolean {
    const data = this.pathOf(id);
    return existsSync(data) && currentStorePath(data) !== undefined;
  }

  /** Environments with restored data that the registry does not have yet, or has had deleted. */
  restored(): RestoredEnvironment[] {
    return this.#ids()
      .filter((id) => this.isRestored(id) && this.hasStore(id))
      .map((id) => ({ id, createdMs: createdMsOf(this.pathOf(id)) }));
  }

  isRestored(id: string): boolean {
    return readNodeFile(this.pathOf(id), restoredName) !== undefined;
  }

  /** Takes all data here for restored ones: there is no registry, so nothing else says which environments there are. */
  markAllRestored(): void {
    for (const id of this.withData()) this.markRestored(id);
  }

  /** The ids of the environments that this node has data of, without deleted ones and the registry. */
  withData(): string[] {
    const has = (id: string, note: string): boolean => readNodeFile(this.pathOf(id), note) !== undefined;
    return this.#ids().filter((id) => this.hasStore(id) && !has(id, unregisteredFile) && !has(id, deletedFile));
  }

  markRestored(id: string): void {
    writeNodeFile(this.pathOf(id), restoredName, "registry");
  }

  /** The registry has the restored environment. */
  markAccepted(id: string): void {
    removeNodeFile(this.pathOf(id), restoredName);
  }

  /** The names of directories that are ids, without the registry and without earlier environments of an id. */
  #ids(): string[] {
    return existsSync(this.#directory) ? readdirSync(this.#directory).filter((id) => environmentId.test(id)) : [];
  }

  /**
   * A directory for the environment: the one that this node has of it, or an empty one. One of an earlier environment
   * with the same id is renamed, because the registry may be from an old backup.
   */
  prepare(environment: EnvironmentIdentity): void {
    this.#prepare(environment, false);
  }

  /** An empty directory for an environment that begins. It is removed if the registry never gets the environment. */
  prepareNew(environment: EnvironmentIdentity): void {
    this.#prepare(environment, true);
  }

  #prepare({ id, createdMs }: EnvironmentIdentity, isNew: boolean): void {
    const data = this.pathOf(id);
    const hasDirectory = existsSync(data);
    const created = hasDirectory ? readNodeFile(data, createdName) : undefined;
    if (created === String(createdMs) || (id === registryEnvironment && created !== undefined)) return;
    // A backup may have been restored into a directory without the file.
    if (hasDirectory && (created !== undefined || isNew)) {
      const renamed = `${data}.${created ?? `${createdMs}.replaced`}`;
      renameSync(data, renamed);
      log.warning("{renamed} has the data of an earlier environment {id}: delete it if nobody needs it", {
        renamed,
        id,
      });
    }
    // It may be moved at the moment, and come back.
    const parent = dirname(this.#directory);
    if (!existsSync(parent)) throw new StorageError("STORE_REPLACED", `\`${parent}\` does not exist`);
    const kept = `${data}.${createdMs}`;
    if (!isNew && !existsSync(data) && existsSync(kept)) return renameSync(kept, data);
    mkdirSync(data, { recursive: true, mode: 0o700 });
    if (isNew) writeNodeFile(data, unregisteredFile, String(createdMs));
    writeNodeFile(data, createdName, String(createdMs));
    // The files are on the disk now; so is the name of their directory, before anybody learns of the environment.
    for (const directory of [this.#directory, parent]) syncDirectory(directory);
  }

  /** The registry has the environment that began. */
  markRegistered(id: string): void {
    removeNodeFile(this.pathOf(id), unregisteredFile);
  }

  remove(id: string): void {
    rmSync(this.pathOf(id), { recursive: true, force: true });
  }

  #noteDeletion(data: string, { deletedMs }: RegisteredEnvironment): void {
    const isNoted = readNodeFile(data, deletedFile) !== undefined;
    if (deletedMs === undefined && isNoted) removeNodeFile(data, deletedFile);
    if (deletedMs !== undefined && !isNoted) writeNodeFile(data, deletedFile, String(deletedMs));
  }

  /**
   * Removes directories of final deletions, and what interrupted creations have left. Any other directory stays, since a
   * registry may be lost or restored from an old backup.
   */
  sweep({ kept, removed }: Registered): void {
    if (!existsSync(this.#directory)) return;
    for (const file of readdirSync(this.#directory, { withFileTypes: true })) {
      if (!file.isDirectory() || file.name === registryEnvironment || this.isRestored(file.name)) continue;
      // `prepare` renames the directory of an earlier environment to `<id>.<time>`.
      const [id] = file.name.split(".");
      const data = this.pathOf(file.name);
      const created = readNodeFile(data, createdName);
      // Somebody has emptied the directory of an environment that runs.
      const emptied = created === undefined ? kept.find((each) => each.id === file.name) : undefined;
      if (emptied !== undefined) writeNodeFile(data, createdName, String(emptied.createdMs));
      const isOf = (each: EnvironmentIdentity): boolean => each.id === id && String(each.createdMs) === created;
      const entry = kept.find(isOf);
      const isKept = entry !== undefined;
      if (isKept) this.#noteDeletion(data, entry);
      const isUnregistered = readNodeFile(data, unregisteredFile) !== undefined;
      if (isKept && isUnregistered) this.markRegistered(file.name);
      else if (!isKept && (isUnregistered || removed.some(isOf))) this.remove(file.name);
    }
  }
}
