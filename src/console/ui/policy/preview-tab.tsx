/** What the draft would change on this node. The check begins when the tab is opened, and again on demand. */
import { useEffect, useState } from "preact/hooks";
import { Refusal } from "../components/failure.tsx";
import { policyTexts } from "../texts/policy.ts";
import { EffectReport, useEffectCheck } from "./effect-report.tsx";
import { checkedOf, type PolicyFile, storedOf } from "./files.ts";

const words = policyTexts.preview;

export interface PreviewTabProps {
  readonly files: readonly PolicyFile[];
  readonly isShown: boolean;
}

export function PreviewTab({ files, isShown }: PreviewTabProps) {
  const check = useEffectCheck();
  const [checked, setChecked] = useState<readonly PolicyFile[] | undefined>(undefined);
  const run = (): void => {
    setChecked(files);
    check.run(checkedOf(files));
  };
  useEffect(() => {
    if (isShown && checked === undefined) run();
  }, [isShown]);
  if (checked === undefined) return null;
  return (
    <>
      <div class="buttons">
        {check.isRunning ? (
          <button type="button" onClick={check.cancel}>
            {policyTexts.save.cancel}
          </button>
        ) : (
          <button type="button" onClick={run}>
            {words.again}
          </button>
        )}
        <span role="status">{checked !== files && policyTexts.tests.old}</span>
      </div>
      <Refusal error={check.error} />
      <EffectReport check={check} source={storedOf(checked).src} />
    </>
  );
}
