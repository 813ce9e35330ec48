import type { EventListener } from './events.js';
import { UNPRINTABLE } from '../text/unprintable.js';
import type { Output } from '../output/output.js';

/** Writes each event as one line of JSON, in the fixed order v, time, event, context, the event's own fields. */
export function createEventLog(output: Output): EventListener {
  return (event) => {
    const { v, time, event: name, instanceId, fencingToken, host, pid, database, schema, ...own } = event;
    const common = { v, time, event: name, instanceId, fencingToken, host, pid, database, schema };
    output.writeLine(escapeForTerminals(JSON.stringify({ ...common, ...own })));
  };
}

/**
 * JSON does not escape DEL, the C1 controls (which some terminals execute), U+2028/U+2029 (which some readers treat as
 * a line end) and bidirectional controls. Escaped they are the same JSON. (Only for JSON in one line: a line break
 * between its values is escaped too.)
 */
export function escapeForTerminals(json: string): string {
  return json.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
