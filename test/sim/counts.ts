/** What a simulation counts, in the order in which `totals.ts` prints it. */

const names = [
  "steps",
  "simulated seconds",
  "committed states",
  "writes acknowledged",
  "of these sent again",
  "writes given up",
  "questions answered and checked",
  "of these with a token",
  "tokens of lost writes refused",
  "of these not lost but not heard of",
  "acknowledged writes lost as announced",
  "requests lost, reset or broken",
  "messages dropped",
  "messages doubled",
  "messages late",
  "messages of brokers that lied",
  "answers whose freshness was checked",
  "answers of the latest",
  "commits failed on a disk",
  "of these left on the disk",
  "of these found after a crash",
  "snapshots failed on a disk",
  "records of the lease written",
  "of these over one that had changed",
  "calls of the coordination service without an answer",
  "primaries chosen by a lease",
  "promotions",
  "promotions refused",
  "primaries of before made edges",
] as const;

export type CountName = (typeof names)[number];

export class Counts {
  readonly byName: Record<string, number> = Object.fromEntries(names.map((name) => [name, 0]));

  add(name: CountName, by = 1): void {
    this.byName[name] = (this.byName[name] ?? 0) + by;
  }
}
