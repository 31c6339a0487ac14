"""Certificates: which domain they prove, and our own authority that issues them."""

from .authority import Authority
from .certstore import CertificateStore, ServerCertificate, load_own_certificate
from .identity import Identity, IdentityKind, all_names, check_identity, subject_identities

__all__ = [
    "Authority",
    "CertificateStore",
    "Identity",
    "IdentityKind",
    "ServerCertificate",
    "all_names",
    "check_identity",
    "load_own_certificate",
    "subject_identities",
]
