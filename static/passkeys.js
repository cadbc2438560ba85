/* What a button with data-passkey does: the server says what to ask the browser for, and hears the answer. */
"use strict";
(() => {
  const kind = window.PublicKeyCredential;
  if (!kind?.parseRequestOptionsFromJSON) return;
  const words = {
    NotAllowedError: "Nothing was done: it was cancelled, or it took too long. Try again.",
    InvalidStateError: "This device has a passkey of yours for this server already.",
    SecurityError: "Passkeys work at this server’s own address only, and this is another one.",
    TypeError: "No answer from the server. Check the connection and try again.",
  };

  // As htmx asks, so that fragments come back. Without a result the page leaves, or its form says what is wrong.
  const ask = async (button, url, body) => {
    const headers = { "HX-Request": "true", "HX-Current-URL": location.href };
    const answer = await fetch(url, { method: "POST", body, headers });
    const there = answer.headers.get("HX-Redirect");
    if (there) return location.assign(there);
    if (answer.ok) return answer;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const form = page.querySelector("form");
    if (!form) throw new Error(page.querySelector("[data-error]")?.textContent || `The server did not do this (${answer.status}).`);
    button.form.replaceWith(form);
    document.dispatchEvent(new Event("htmx:afterSettle"));
  };

  const run = async (button) => {
    const { passkey: url, next } = button.dataset;
    const typed = button.type === "submit" ? new FormData(button.form) : null;
    const options = await (await ask(button, `${url}/options`, typed))?.json();
    if (!options) return;
    const made = options.user
      ? await navigator.credentials.create({ publicKey: kind.parseCreationOptionsFromJSON(options) })
      : await navigator.credentials.get({ publicKey: kind.parseRequestOptionsFromJSON(options) });
    const answer = await ask(button, url, JSON.stringify({ ...made.toJSON(), next }));
    if (!answer) return;
    const place = button.closest(".stepup");
    place.innerHTML = await answer.text();
    place.firstElementChild.focus();
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-passkey]");
    if (!button || button.ariaBusy) return;
    event.preventDefault();
    button.ariaBusy = "true";
    const region = button.closest(".passkey").querySelector("[role=alert]");
    region.textContent = "";
    await run(button).catch(({ name, message }) => { region.textContent = words[name] || message; });
    button.ariaBusy = null;
  });
  document.documentElement.classList.add("passkeys");
})();
