/** The differences of two texts of a policy, one below the other, so that they fit on a narrow screen. */
import { unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { editorTheme } from "./editor-theme.ts";
import { polar } from "./language.ts";

export interface DiffViewProps {
  readonly label: string;
  readonly from: string;
  readonly to: string;
}

/** The comparison becomes coarse after this time, so that the page never stalls. */
const diffConfig = { scanLimit: 1000, timeout: 500 };

export default function DiffView({ label, from, to }: DiffViewProps) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (host.current === null) return undefined;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const extensions = [
      lineNumbers(),
      polar,
      editorTheme,
      EditorState.readOnly.of(true),
      EditorView.contentAttributes.of({ "aria-label": label, "aria-readonly": "true", tabindex: "0" }),
      unifiedMergeView({
        original: from,
        mergeControls: false,
        collapseUnchanged: { margin: 3, minSize: 6 },
        diffConfig,
      }),
    ];
    const view = new EditorView({ state: EditorState.create({ doc: to, extensions }), parent: root, root });
    return () => view.destroy();
  }, [label, from, to]);
  return <div class="code" ref={host} />;
}
