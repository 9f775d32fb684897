/** The version that somebody else has saved while a draft was edited: what it changed, and what the draft would change. */
import { Time } from "../components/time.tsx";
import { policyTexts } from "../texts/policy.ts";
import type { StoredPolicy } from "./files.ts";
import { LazyDiff } from "./lazy-diff.tsx";
import type { ActiveVersion } from "./versions.ts";

const words = policyTexts.conflict;

export interface OtherVersionProps {
  readonly theirs: ActiveVersion;
  readonly base: StoredPolicy | undefined;
  /** The text that would replace it. */
  readonly source: string;
}

export function OtherVersion({ theirs: { policy, version }, base, source }: OtherVersionProps) {
  const { id, author, time, message } = version;
  const who = author === null ? policyTexts.versions.node : (author.name ?? author.id);
  return (
    <>
      <p role="alert" class="failure">
        {words.saved(who, id)} <Time value={time} />
      </p>
      {message !== null && <blockquote>{message}</blockquote>}
      <h3>{words.theirs}</h3>
      <LazyDiff label={words.theirs} from={base?.src ?? ""} to={policy.src} />
      <h3>{words.yours}</h3>
      {policy.src === source ? (
        <p>{policyTexts.versions.same}</p>
      ) : (
        <LazyDiff label={words.yours} from={policy.src} to={source} />
      )}
    </>
  );
}
