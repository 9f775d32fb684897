/** Differences, whose code is loaded when they are shown. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failure } from "../components/failure.tsx";
import { texts } from "../texts.ts";
import type { DiffViewProps } from "./diff-view.tsx";

export function LazyDiff(props: DiffViewProps) {
  const [view, setView] = useState<{ readonly component: ComponentType<DiffViewProps> } | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  useEffect(() => {
    import("./diff-view.tsx").then(({ default: component }) => setView({ component }), setError);
  }, []);
  if (error !== undefined) return <Failure error={error} />;
  return view === undefined ? <p>{texts.loading}</p> : <view.component {...props} />;
}
