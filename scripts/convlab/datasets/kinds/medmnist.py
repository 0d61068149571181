"""MedMNIST: biomedical images in the form of MNIST, with training, validation and test images given by its authors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from convlab.datasets.fetching import Archive, fetch_files
from convlab.datasets.reading import Reading, check_memory
from convlab.datasets.registry import Count, Counts, Form, Kind
from convlab.datasets.specs import Published
from convlab.errors import UserError

MIRROR = "https://zenodo.org/records/10519652/files/"
MAX_BYTES = 14 * 10**9
"""Bytes of a file at most; that of PathMNIST with 224 pixels is the largest."""


@dataclass(frozen=True)
class Set:
    """One two-dimensional data set of MedMNIST v2, as its authors' package ``medmnist`` 3.0.2 describes it.

    Args:
        images_of: what the images show, and the collection that they are from, if it has a name.
        title: its name.
        classes: names of the classes, in the order of the labels.
        channels: 1 for grey, 3 for colour.
        images: numbers of training, validation and test images.
        md5: checksum of the file for each image size in pixels.
        licence: under what licence.
    """

    images_of: str
    title: str
    classes: tuple[str, ...]
    channels: int
    images: tuple[int, int, int]
    md5: Mapping[int, str]
    licence: str = "CC BY 4.0"


ORGANS = (
    "bladder",
    "femur-left",
    "femur-right",
    "heart",
    "kidney-left",
    "kidney-right",
    "liver",
    "lung-left",
    "lung-right",
    "pancreas",
    "spleen",
)

SETS = {
    "pathmnist": Set(
        images_of="tissue of colorectal cancer, NCT-CRC-HE-100K and CRC-VAL-HE-7K",
        title="PathMNIST",
        classes=(
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
        channels=3,
        images=(89_996, 10_004, 7_180),
        md5={
            28: "a8b06965200029087d5bd730944a56c1",
            64: "55aa9c1e0525abe5a6b9d8343a507616",
            128: "ac42d08fb904d92c244187169d1fd1d9",
            224: "2c51a510bcdc9cf8ddb2af93af1eadec",
        },
    ),
    "dermamnist": Set(
        images_of="skin lesions, HAM10000",
        title="DermaMNIST",
        licence="CC BY-NC 4.0",
        classes=(
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
        channels=3,
        images=(7_007, 1_003, 2_005),
        md5={
            28: "0744692d530f8e62ec473284d019b0c7",
            64: "b70a2f5635c6199aeaa28c31d7202e1f",
            128: "2defd784463fa5243564e855ed717de1",
            224: "8974907d8e169bef5f5b96bc506ae45d",
        },
    ),
    "octmnist": Set(
        images_of="optical coherence tomography of the retina",
        title="OCTMNIST",
        classes=("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
        channels=1,
        images=(97_477, 10_832, 1_000),
        md5={
            28: "c68d92d5b585d8d81f7112f81e2d0842",
            64: "e229e9440236b774d9f0dfef9d07bdaf",
            128: "0a97e76651ace45c5d943ee3f65b63ae",
            224: "abc493b6d529d5de7569faaef2773ba3",
        },
    ),
    "pneumoniamnist": Set(
        images_of="chest X-rays of children",
        title="PneumoniaMNIST",
        classes=("normal", "pneumonia"),
        channels=1,
        images=(4_708, 524, 624),
        md5={
            28: "28209eda62fecd6e6a2d98b1501bb15f",
            64: "8f4eceb4ccffa70c672198ea285246c6",
            128: "05b46931834c231683c68f40c47b2971",
            224: "d6a3c71de1b945ea11211b03746c1fe1",
        },
    ),
    "retinamnist": Set(
        images_of="fundus of the eye, DeepDRiD challenge",
        title="RetinaMNIST",
        classes=("0", "1", "2", "3", "4"),
        channels=3,
        images=(1_080, 120, 400),
        md5={
            28: "bd4c0672f1bba3e3a89f0e4e876791e4",
            64: "afda852cc34dcda56f86ad2b2457dbcc",
            128: "e48e916a24454daf90583d4e6efb1a18",
            224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
        },
    ),
    "breastmnist": Set(
        images_of="ultrasound of the breast",
        title="BreastMNIST",
        classes=("malignant", "normal, benign"),
        channels=1,
        images=(546, 78, 156),
        md5={
            28: "750601b1f35ba3300ea97c75c52ff8f6",
            64: "742edef2a1fd1524b2efff4bd7ba9364",
            128: "363e4b3f8d712e9b5de15470a2aaadf1",
            224: "b56378a6eefa9fed602bb16d192d4c8b",
        },
    ),
    "bloodmnist": Set(
        images_of="blood cells under the microscope",
        title="BloodMNIST",
        classes=(
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
        channels=3,
        images=(11_959, 1_712, 3_421),
        md5={
            28: "7053d0359d879ad8a5505303e11de1dc",
            64: "2b94928a2ae4916078ca51e05b6b800b",
            128: "adace1e0ed228fccda1f39692059dd4c",
            224: "b718ff6835fcbdb22ba9eacccd7b2601",
        },
    ),
    "tissuemnist": Set(
        images_of="cells of the kidney's cortex, BBBC051",
        title="TissueMNIST",
        classes=(
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Glomerular endothelial cells",
            "Interstitial endothelial cells",
            "Leukocytes",
            "Podocytes",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        ),
        channels=1,
        images=(165_466, 23_640, 47_280),
        md5={
            28: "ebe78ee8b05294063de985d821c1c34b",
            64: "123ece2eba09d0aa5d698fda57103344",
            128: "61b955355d7425a89687b06cca3ce0c2",
            224: "b077128c4a949f0a4eb01517f9037b9c",
        },
    ),
    "organamnist": Set(
        images_of="computed tomography in axial views, LiTS",
        title="OrganAMNIST",
        classes=ORGANS,
        channels=1,
        images=(34_561, 6_491, 17_778),
        md5={
            28: "68e3f8846a6bd62f0c9bf841c0d9eacc",
            64: "2dcccc29b88e6da5a01161ef20cda288",
            128: "eeae80d0a227a8d099027e1b3cfd3b60",
            224: "50747347e05c87dd3aaf92c49f9f3170",
        },
    ),
    "organcmnist": Set(
        images_of="computed tomography in coronal views, LiTS",
        title="OrganCMNIST",
        classes=ORGANS,
        channels=1,
        images=(12_975, 2_392, 8_216),
        md5={
            28: "b9ceb9546e10131b32923c5bbeaea2b1",
            64: "3ce34a8724ea6f548e6db4744d03b6a9",
            128: "773c1f009daa3fe5d9a2a201b2a7ed94",
            224: "050f5e875dc056f6768abf94ec9995d1",
        },
    ),
    "organsmnist": Set(
        images_of="computed tomography in sagittal views, LiTS",
        title="OrganSMNIST",
        classes=ORGANS,
        channels=1,
        images=(13_932, 2_452, 8_827),
        md5={
            28: "9ab87b696fb54e2a387ebe992d6ed5f1",
            64: "53a6d115339d874c25e309a994ff46d3",
            128: "ded0c5fa01a95dc4978b956f613e9b8e",
            224: "b354719e553fbbb2513d5533f52a4cb1",
        },
    ),
}


def refuse_several_labels(value: Any) -> Any:
    """Raise PydanticCustomError for MedMNIST's set whose images have several labels each."""
    if value == "chestmnist":
        raise PydanticCustomError(
            "several_labels",
            "chestmnist gives each image several labels, and a study needs one for each; choose another set",
        )
    return value


class Medmnist(Published):
    """A two-dimensional set of MedMNIST with its validation images, fetched and checked by its checksum."""

    kind: Literal["medmnist"]
    set: Annotated[
        Literal[
            "pathmnist",
            "dermamnist",
            "octmnist",
            "pneumoniamnist",
            "retinamnist",
            "breastmnist",
            "bloodmnist",
            "tissuemnist",
            "organamnist",
            "organcmnist",
            "organsmnist",
        ],
        BeforeValidator(refuse_several_labels),
    ] = Field(description="Which of its sets.")
    size: Literal[28, 64, 128, 224] = Field(28, description="Height and width of the images, in pixels.")


def form(name: str, spec: Medmnist) -> Form:
    """Square images, grey or in colour; 2 to 11 classes."""
    chosen = SETS[spec.set]
    return (spec.size, spec.size, chosen.channels), len(chosen.classes)


def counts(spec: Medmnist) -> Counts:
    """Numbers of training, test and validation images."""
    train, validation, test = (Count(number, number) for number in SETS[spec.set].images)
    return train, test, validation


def read(name: str, spec: Medmnist, threads: int) -> Reading:
    """The arrays of one ``.npz`` file: images of bytes (n, size, size) or (n, size, size, 3), labels (n, 1)."""
    import numpy as np

    from convlab.datasets.prepared import Dataset

    shape, classes = form(name, spec)
    chosen, archive = SETS[spec.set], archive_of(spec)
    check_memory(sum(chosen.images), shape, f"datasets.{name}.size", "choose a smaller size")
    ((file_name, path),) = fetch_files(archive, key=f"datasets.{name}.path", path=spec.path).items()
    arrays = {}
    try:
        with np.load(path, allow_pickle=False) as content:
            for part in ("train", "val", "test"):
                images, labels = content[f"{part}_images"], content[f"{part}_labels"]
                if images.dtype != np.uint8 or labels.shape != (len(images), 1) or labels.max() >= classes:
                    raise UserError(f"{file_name}: {part}_images and {part}_labels do not fit; get it again")
                arrays[part] = (images.reshape(len(images), *shape), labels[:, 0].astype(np.int64))
    except UserError:
        raise
    except Exception as error:  # zipfile and NumPy raise a dozen types for a damaged archive
        raise UserError(f"{path} is not a whole file of {chosen.title} ({error}); get it again") from None
    return Reading(
        Dataset(
            *arrays["train"],
            *arrays["test"],
            classes=chosen.classes,
            x_validation=arrays["val"][0],
            y_validation=arrays["val"][1],
        )
    )


def archive_of(spec: Medmnist) -> Archive:
    """The set's file of the wanted image size."""
    file_name = f"{spec.set}.npz" if spec.size == 28 else f"{spec.set}_{spec.size}.npz"
    return Archive(
        title=SETS[spec.set].title,
        folder="medmnist",
        checksums={file_name: SETS[spec.set].md5[spec.size]},
        mirrors=(MIRROR,),
        packed=False,
        max_bytes=MAX_BYTES,
    )


def details(spec: Medmnist) -> Mapping[str, str]:
    """Source and licence of the set."""
    chosen = SETS[spec.set]
    return {"source": f"{chosen.title} of MedMNIST v2 ({chosen.images_of})", "licence": chosen.licence}


KIND = Kind(
    spec=Medmnist,
    form=form,
    counts=counts,
    read=read,
    source="MedMNIST v2",
    homepage="https://medmnist.com",
    licence="CC BY 4.0",
    citation="Yang, Shi, Wei, Liu, Zhao, Ke, Pfister, Ni: MedMNIST v2 - A large-scale lightweight benchmark for 2D and "
    "3D biomedical image classification. Scientific Data 10(41), 2023; and the paper of the images' source, which the "
    "homepage names.",
    details=details,
)
