// Sums of usage: by the totals of blocks wherever these know what is asked for, since they cost the
// same however many records there are.

import { type Client, Problem } from "./client.ts";
import type { UsageBreakdown } from "./types.ts";

export interface Range {
  since: string;
  until: string;
}

/** What the totals of blocks do not know. */
function byRecordsAlone(by: string): boolean {
  return by === "key" || by.startsWith("tag:");
}

/** Reads for one key: another one has a reader of its own. */
export class UsageReader {
  private readonly client: Client;
  /** Totals are of everybody: a key that sees its own alone is told by records. */
  private seesOwnAlone = false;

  constructor(client: Client) {
    this.client = client;
  }

  async read(range: Range, by: string[]): Promise<UsageBreakdown> {
    const query = { ...range, group_by: by };
    if (!this.seesOwnAlone && !by.some(byRecordsAlone)) {
      try {
        return await this.client.get<UsageBreakdown>("/v1/usage", { ...query, by_totals: true });
      } catch (error) {
        if (!(error instanceof Problem) || error.status !== 422) throw error;
        this.seesOwnAlone = true;
      }
    }
    return this.client.get<UsageBreakdown>("/v1/usage", query);
  }
}
