/** Other engines compared with this one: the same data, the same questions, in this process, alternating. */
import * as Bun from "bun";
import { median } from "../timing.ts";
import { openCedar } from "./cedar.ts";
import { libraryOf, libraryQuestions } from "./library.ts";
import { openOstiary } from "./ostiary.ts";
import type { Asking, OpenPeer, Peer } from "./peer.ts";
import { openSpiceDb } from "./spicedb.ts";

export interface PeerRates {
  readonly questions: number;
  readonly allowed: number;
  readonly ownPerSecond: number;
  readonly peers: readonly PeerResult[];
}

export interface PeerResult {
  readonly name: string;
  /** Or the reason why there are none. */
  readonly rates: { readonly perSecond: number; readonly mismatches: number } | string;
}

const openers: readonly { readonly name: string; readonly open: OpenPeer }[] = [
  { name: "SpiceDB", open: openSpiceDb },
  { name: "Cedar", open: openCedar },
];

export interface PeerOptions {
  readonly directory: string;
  readonly seed: number;
  readonly questions: number;
  readonly rounds: number;
}

/** Medians of the rounds. An answer that differs from ours is a mismatch, in every round. */
export async function measurePeers({ directory, seed, questions, rounds }: PeerOptions): Promise<PeerRates> {
  const library = libraryOf(seed);
  const asked = libraryQuestions(seed + 1, questions);
  const own = openOstiary(library, directory);
  const opened = await Promise.all(
    openers.map(async ({ name, open }) => ({ name, peer: await open(library).catch(reasonOf) })),
  );
  try {
    const contenders = [own, ...opened.flatMap(({ peer }) => (typeof peer === "string" ? [] : [peer]))].map(
      (peer): Contender => ({ peer, ask: peer.prepare(asked), rates: [], mismatches: 0 }),
    );
    const wanted = await own.prepare(asked)();
    // The first round is the warm-up of all engines.
    for (let round = -1; round < rounds; round++)
      for (const contender of contenders) await takeTurn(contender, wanted, round >= 0);
    const resultOf = (wantedPeer: Peer): { readonly perSecond: number; readonly mismatches: number } => {
      const found = contenders.find(({ peer }) => peer === wantedPeer);
      return { perSecond: median(found?.rates ?? []), mismatches: found?.mismatches ?? 0 };
    };
    return {
      questions,
      allowed: wanted.filter(Boolean).length / wanted.length,
      ownPerSecond: resultOf(own).perSecond,
      peers: opened.map(({ name, peer }) => ({ name, rates: typeof peer === "string" ? peer : resultOf(peer) })),
    };
  } finally {
    own.close();
    for (const { peer } of opened) if (typeof peer !== "string") peer.close();
  }
}

interface Contender {
  readonly peer: Peer;
  readonly ask: Asking;
  readonly rates: number[];
  mismatches: number;
}

async function takeTurn(contender: Contender, wanted: readonly boolean[], counts: boolean): Promise<void> {
  const begin = Bun.nanoseconds();
  const answers = await contender.ask();
  const seconds = (Bun.nanoseconds() - begin) / 1e9;
  if (counts) contender.rates.push(answers.length / seconds);
  contender.mismatches += answers.filter((answer, index) => answer !== wanted[index]).length;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
