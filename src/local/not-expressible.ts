/** The reason why a rule has no SQL: the question is refused, since an approximation could allow too much. */
export class NotExpressible extends Error {}
