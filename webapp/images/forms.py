"""The image's form, parsed once into typed values."""

from dataclasses import dataclass

from webapp.images.image import Image, ImageFields
from webapp.images.user_data import parse_user_data
from webapp.names import Name, parse_description, parse_name
from webapp.reference import Reference
from webapp.web.forms import Form

LABELS = {
    "name": "Name",
    "description": "Description",
    "docker_image_url": "Docker Image URL",
    "registry_credential_id": "Docker Registry Auth",
    "user_data": "User data",
    "pin_digest": "Pin the digest",
}
"""The fields in the page's words, for the error summary."""


@dataclass(frozen=True, slots=True)
class ImageForm:
    """What was typed, to be shown again, and what is wrong with it by field."""

    name: str = ""
    description: str = ""
    docker_image_url: str = ""
    registry_credential_id: str = ""
    user_data: str = ""
    pin_digest: str = ""

    @classmethod
    def of(cls, image: Image) -> "ImageForm":
        """The form as it stands for an image that is stored."""
        pin = "1" if image.pin_digest else ""
        return cls(image.name, image.description, image.docker_image_url, image.credential_id or "", image.user_data or "", pin)

    @classmethod
    def read(cls, form: Form) -> "ImageForm":
        """What was typed, as it was typed."""
        return cls(*(form.text(name) for name in LABELS))

    def parse(self) -> tuple[ImageFields | None, dict[str, str]]:
        """The typed values, or None and what is wrong by field."""
        errors: dict[str, str] = {}
        name, reference, description = Name("", ""), None, ""
        try:
            name = parse_name(self.name)
        except ValueError as error:
            errors["name"] = str(error)
        try:
            description = parse_description(self.description)
        except ValueError as error:
            errors["description"] = str(error)
        try:
            reference = Reference.parse(self.docker_image_url.strip())
        except ValueError as error:
            errors["docker_image_url"] = str(error)
        else:
            if self.pin_digest and reference.digest is not None:
                errors["pin_digest"] = "The Docker Image URL has a digest already, so that nothing else can be pulled. Take the tick away."
        user_data = None
        try:
            user_data = parse_user_data(self.user_data) if self.user_data.strip() else None
        except ValueError as error:
            errors["user_data"] = str(error)
        if errors or reference is None:
            return None, errors
        return (
            ImageFields(
                name=name.text,
                name_key=name.key,
                description=description,
                docker_image_url=self.docker_image_url.strip(),
                reference=str(reference),
                host=reference.host,
                credential_id=self.registry_credential_id or None,
                user_data=None if user_data is None else self.user_data,
                references=() if user_data is None else user_data.references,
                pin_digest=bool(self.pin_digest),
            ),
            {},
        )
