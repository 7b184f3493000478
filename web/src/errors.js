/** A message for the user: one sentence, shown as it is. */
export class UserError extends Error {}

/** First line of what an engine threw, without its code location. */
export function firstLine(error) {
  const text = String(error?.message ?? error).trim().split("\n")[0];
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}
