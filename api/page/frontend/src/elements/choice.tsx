import { useId } from "preact/hooks";

interface ChoiceProps<T extends string> {
  name: string;
  options: Partial<Record<T, string>>;
  value: T;
  change: (value: T) => void;
}

/** One of a few, side by side. */
export function Choice<T extends string>({ name, options, value, change }: ChoiceProps<T>) {
  const group = useId();
  return (
    <fieldset class="choice">
      <legend class="hidden">{name}</legend>
      {(Object.entries(options) as [T, string][]).map(([each, label]) => (
        <label key={each} class={each === value ? "on" : ""}>
          <input type="radio" name={group} checked={each === value} onChange={() => change(each)} />
          {label}
        </label>
      ))}
    </fieldset>
  );
}
