/**
 * What a node has around it: time, the network, threads. It is one thing that is handed in, so that a whole cluster can run in one process under a
 * clock and a network that a test makes, with the same wiring as everywhere.
 */
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import type { Limits } from "../config/limits.ts";
import { approvePolicies, type ApprovePolicy } from "../engine/workers/policy-checks.ts";
import { serve, type Listener, type ServeOptions } from "../runtime/serve.ts";
import { spawnWorker, type Commands, type WorkerHandle, type WorkerKind } from "../runtime/worker.ts";
import { systemClock, type Clock } from "../util/clock.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface System {
  readonly clock: Clock;
  readonly fetch: Fetch;
  /** One attempt at a connection to a broker. */
  connectMqtt(options: IClientOptions): MqttClient;
  spawnWorker<C extends Commands, Event>(kind: WorkerKind): WorkerHandle<C, Event>;
  /** Checks uploaded policies where they hold up neither the thread that serves nor the writer. */
  approvePolicies(limits: Limits): ApprovePolicy;
  serve(options: ServeOptions): Listener;
}

export const realSystem: System = {
  clock: systemClock,
  fetch: (url, init) => fetch(url, init),
  connectMqtt: connect,
  spawnWorker,
  approvePolicies,
  serve,
};
