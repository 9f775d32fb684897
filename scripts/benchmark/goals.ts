/** The goals for the ratios, by name. They apply to any machine, because both sides are measured on the same one. */
export interface Goal {
  readonly atMost?: number;
  readonly atLeast?: number;
}

export const goals: Readonly<Record<string, Goal>> = {
  check_p50_over_probe: { atMost: 25 },
  check_p99_over_p50: { atMost: 5 },
  check_10m_over_100k: { atMost: 1.5 },
  depth30_over_depth1: { atMost: 1.3 },
  http_uniform_over_echo: { atLeast: 0.35 },
  http_zipf_over_echo: { atLeast: 0.6 },
  http_full_over_plain: { atLeast: 0.8 },
  http_threads_2_over_1: { atLeast: 1.3 },
  http_threads_cost_over_one: { atMost: 1.1 },
  first_question_over_later: { atMost: 10 },
  p99_beside_list_over_alone: { atMost: 2 },
  p99_beside_explanation_over_alone: { atMost: 2 },
  p99_beside_backup_over_alone: { atMost: 2 },
  p99_beside_snapshot_over_alone: { atMost: 2 },
  p99_beside_policy_over_alone: { atMost: 2 },
  memory_threads_4_over_1: { atMost: 1.5 },
  http_ten_environments_over_one: { atLeast: 0.9 },
  body_over_parse: { atMost: 3 },
  list_over_select: { atMost: 4 },
  local_list_over_handwritten: { atMost: 3 },
  local_sql_over_authorize: { atMost: 3 },
  apply_over_insert: { atLeast: 0.25 },
  import_over_apply: { atLeast: 0.7 },
  visible_embedded_over_bare: { atMost: 5 },
  visible_mosquitto_over_bare: { atMost: 5 },
  write_1_over_commit: { atLeast: 0.5 },
  write_1000_over_commit: { atLeast: 0.5 },
  vs_spicedb: { atLeast: 20 },
  vs_cedar: { atLeast: 1 },
};

/** Milliseconds, which depend on the machine. */
export const serverP99MsMax = 2;

/** With so many facts and two cores. */
export const edgeStartSecondsMax = (facts: number): number => (facts > 1_000_000 ? 30 : 4);

export const meets = (value: number, { atMost = Infinity, atLeast = -Infinity }: Goal): boolean =>
  value <= atMost && value >= atLeast;

export function describeGoal(value: number, goal: Goal): string {
  const wanted = goal.atMost === undefined ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`;
  return meets(value, goal) ? `${wanted}  met` : `${wanted}  missed`;
}
