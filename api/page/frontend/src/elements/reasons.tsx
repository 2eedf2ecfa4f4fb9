import type { Component } from "../api/types.ts";

/** What a score is made of. */
export function Reasons({ components }: { components: readonly Component[] }) {
  return (
    <table class="plain reasons">
      <caption class="hidden">What the score is made of</caption>
      <tbody>
        {components.map((each) => (
          <tr key={each.name} class={each.points === 0 ? "muted" : ""}>
            <td class="number">{points(each.points)}</td>
            <td>{each.sentence}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function points(value: number): string {
  if (value === 0) return "0";
  return `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`;
}
