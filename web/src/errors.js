/** A message for the user: one sentence, shown as it is. */
export class UserError extends Error {}

/** First line of what an engine threw, without its code location. */
export function firstLine(error) {
  const text = String(error?.message ?? error).trim().split("\n")[0];
  return text.length > 200 ? `${text.slice(0, 200)}...` : text;
}

/** What to say when an engine refuses a model: its own words name lines of its source only. */
export function refusal(engine, modelName, error) {
  console.error(error);
  return new UserError(
    `${engine} cannot run ${modelName}: an operator may be unknown to it; ` +
      "the browser's console says more.",
  );
}
