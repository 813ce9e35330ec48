import type { EventListener } from '../events.js';
import type { Output } from './output.js';

/** Writes each event as one line of JSON, in the fixed order v, time, event, context, the event's own fields. */
export function createAuditLog(output: Output): EventListener {
  return (event) => {
    const { v, time, event: name, instanceId, fencingToken, host, pid, database, schema, ...own } = event;
    const common = { v, time, event: name, instanceId, fencingToken, host, pid, database, schema };
    output.writeLine(escapeForTerminals(JSON.stringify({ ...common, ...own })));
  };
}

/**
 * JSON leaves DEL, the C1 controls (which some terminals obey) and U+2028/U+2029 (which some readers take for a line's end)
 * as they are. Escaped they are the same JSON.
 */
export function escapeForTerminals(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
