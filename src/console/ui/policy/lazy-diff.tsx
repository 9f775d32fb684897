/** Differences, whose code is loaded when they are shown. */
import { Remote } from "../components/remote.tsx";
import { useCode } from "../state/code.ts";
import type { DiffViewProps } from "./diff-view.tsx";

export function LazyDiff(props: DiffViewProps) {
  const code = useCode("diff", () => import("./diff-view.tsx"));
  return (
    <Remote of={code} isTimeless>
      {({ default: DiffView }) => <DiffView {...props} />}
    </Remote>
  );
}
