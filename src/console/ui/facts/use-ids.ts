/** The ids that the node knows for the object at the end of a text. */
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../state/session.ts";
import { isObject, type Value } from "./fact-text.ts";
import { type IdsAnswer, IdsAnswers, wantedIds } from "./wanted-ids.ts";

/** Somebody who types writes the next character earlier. */
const pauseMs = 150;
const idsMax = 50;

/** None while they are loaded. The node is asked after a pause, and only for what earlier answers do not have. */
export function useIds(text: string, isWanted: boolean): readonly Value[] {
  const answers = useRef(new IdsAnswers());
  const [, setCount] = useState(0);
  const wanted = isWanted ? wantedIds(text) : undefined;
  const { type = "", prefix = "" } = wanted ?? {};
  const isAsked = wanted !== undefined && isObject({ type });
  const known = isAsked ? answers.current.find(type, prefix) : [];
  useEffect(() => {
    if (known !== undefined) return undefined;
    const controller = new AbortController();
    const { signal } = controller;
    const ask = async (): Promise<void> => {
      const query = new URLSearchParams({ type, prefix, page_size: String(idsMax) });
      try {
        answers.current.add(type, prefix, (await call(`/api/objects?${query}`, { signal })) as IdsAnswer);
        setCount((count) => count + 1);
      } catch {
        // The input works without completion.
      }
    };
    const timer = setTimeout(() => void ask(), pauseMs);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [type, prefix, known === undefined]);
  return (known ?? []).map((id) => ({ type, id }));
}
